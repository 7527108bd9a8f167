import { systems } from '../../fhir-profiles/codes.js';
import type { Manifest } from '../../models/manifest.js';
import type { Caller } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import { agentOf, type ResourceWriter, type WriteRequest } from '../access/write-request.js';
import { isSamePerson, nowhere, refused } from '../access/write-rules.js';
import type { Audit } from '../audit/vocabulary.js';
import { priorityOf } from '../jobs/queue.sql.js';
import { inState } from '../jobs/task-state.js';
import { updateTask } from '../jobs/task-update.js';
import { conflict, forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { type Concept, idOf } from '../store/fhir-elements.js';
import { createResources, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { MOST_RESULTS, resultsOfReport } from './laboratory-values.js';
import type { CarriedModels, LeftOut } from './carried-models.js';
import { accepts, type Models } from './models.js';
import { orderedPriority } from './ordered-priority.js';
import { insertJob, scoringQueue } from './queue.sql.js';
import { retryJob } from './retry-job.js';

/**
 * Writer for Tasks that ask for a study, or for a laboratory's report, to be scored. The right to score is not the right to view: the requester needs the one,
 * and reads the result as a party to it. An update can only cancel, have tried again what failed, or add a note.
 */
export function scoringTaskWriter(models: Models, audit: Audit, leftOut: LeftOut = new Map()): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) rows.push(await place(tx, { models, leftOut }, audit, request));
      return rows;
    },
    update: (tx, request) => step(tx, audit, request),
  };
}

async function place(tx: Queryable, carried: CarriedModels, audit: Audit, request: WriteRequest): Promise<ResourceRow> {
  const { caller, resource, context } = request;
  if (idOf(resource.requester, 'Organization') !== caller.organizationId)
    throw forbidden('A request is placed in the name of one’s own organization: Task.requester.');
  if (resource.status !== 'requested') throw conflict('A new scoring request is requested.', 'Task.status');
  const study = await scorableFocus(tx, request);
  if (!(await isSamePerson(tx, idOf(resource.for, 'Patient') ?? '', study.patient_id)))
    throw refused('What is to be scored is not known to be of this patient.', 'Task.for');
  const model = chooseModel(carried, resource, study);
  const priority = resource.priority ?? (await orderedPriority(tx, study));
  const requested = { ...resource, ...(priority ? { priority } : {}), businessStatus: inState('requested') };
  const row = await placeScoringTask(tx, requested, study, model.name, { caller });
  await audit.append(tx, [
    {
      ...agentOf(caller, context),
      type: 'scoring',
      subtype: 'request',
      action: 'E',
      outcome: 0,
      patientId: study.patient_id,
      custodianId: study.custodian_id,
      entity: [`Task/${row.id}`, `${study.type}/${study.id}`],
      detail: `${model.name} ${model.version}`,
    },
  ]);
  return row;
}

/** What Task.focus names: a study, or a laboratory's report with each of its results. */
async function scorableFocus(tx: Queryable, request: WriteRequest): Promise<ResourceRow> {
  const { focus } = request.resource;
  const reportId = idOf(focus, 'DiagnosticReport');
  if (reportId === undefined) return scorable(tx, request, 'ImagingStudy', idOf(focus, 'ImagingStudy') ?? '', 'Task.focus');
  const report = await scorable(tx, request, 'DiagnosticReport', reportId, 'Task.focus');
  for (const [i, id] of resultsToScore(toResource(report)).entries()) {
    const result = await scorable(tx, request, 'Observation', id, `Task.focus.result[${i}]`);
    if (result.patient_id !== report.patient_id || result.custodian_id !== report.custodian_id)
      throw refused('A result of the report is of another patient or another hospital.', `Task.focus.result[${i}]`);
  }
  return report;
}

function resultsToScore(report: FhirResource): string[] {
  const stated = report.result?.length ?? 0;
  if (stated === 0 || stated > MOST_RESULTS)
    throw refused(`The report holds ${stated} results; one that can be scored holds 1 to ${MOST_RESULTS}.`, 'Task.focus.result');
  const ids = resultsOfReport(report);
  if (ids.length < stated) throw refused('A result of the report is no Observation of this hub.', 'Task.focus.result');
  return ids;
}

async function scorable(
  tx: Queryable,
  { access }: WriteRequest,
  type: string,
  id: string,
  element: string,
): Promise<ResourceRow> {
  const row = await findRow(tx, access, type, id);
  if (!row || !access.decide('know', row).allowed) throw nowhere(element);
  const decision = access.decide('score', row);
  if (!decision.allowed)
    throw forbidden('This may not be scored for you.', {
      system: systems.denialReason,
      code: decision.reason ?? 'no-basis',
    });
  return row;
}

/** The model that Task.input names (type `model`), else the only one that is made for such a study. */
function chooseModel({ models, leftOut }: CarriedModels, task: FhirResource, study: ResourceRow): Manifest {
  const named = modelNamed(task);
  const fitting = [...models.values()].filter((m) => accepts(m, study) && (named === undefined || m.name === named));
  if (fitting.length === 1) return fitting[0]!;
  const reason = leftOut.get(named ?? '');
  if (reason) throw refused(`The model ${named} can't be asked for. ${reason}`, 'Task.input');
  if (named !== undefined && models.has(named)) throw refused(`The model ${named} is not made for such a study.`, 'Task.input');
  const known = [...models.keys()].join(', ') || 'none';
  throw refused(`One model must be named by an input of type "model". Known: ${known}.`, 'Task.input');
}

function modelNamed(task: FhirResource): string | undefined {
  const inputs: { type?: Concept; valueString?: string; valueCode?: string }[] = task.input ?? [];
  const input = inputs.find(({ type }) => type?.text === 'model' || type?.coding?.some((c) => c.code === 'model'));
  return input?.valueString ?? input?.valueCode;
}

/** Stores the Task and its job. The Task belongs to its requester, the results will belong to the study's custodian. */
export async function placeScoringTask(
  tx: Queryable,
  task: FhirResource,
  study: ResourceRow,
  model: string,
  by?: { caller: Caller } | { delay: number },
): Promise<ResourceRow> {
  const now = new Date().toISOString();
  const requesterId = idOf(task.requester, 'Organization')!;
  const placed = { ...task, intent: 'order', authoredOn: now, lastModified: now };
  const [row] = await createResources(tx, [{ resource: placed, custodianId: requesterId, parties: [study.custodian_id] }]);
  if (!row) throw new Error('the Task was not stored');
  await insertJob(tx, {
    taskId: row.id,
    focusType: study.type as 'ImagingStudy' | 'DiagnosticReport',
    focusId: study.id,
    focusVersion: study.version,
    patientId: study.patient_id,
    custodianId: study.custodian_id,
    requesterId,
    model,
    priority: priorityOf(task),
    ...(by && 'delay' in by ? { automatic: true, delay: by.delay } : by),
  });
  return row;
}

/** Of an open request only the end can be asked for, of a failed one that it is tried again. */
const STEPS = { requested: ['cancelled'], 'in-progress': ['cancelled'], failed: ['requested'] };

async function step(tx: Queryable, audit: Audit, request: WriteRequest & { current: ResourceRow }): Promise<ResourceRow> {
  const { caller, context, current } = request;
  const { row, step: taken } = await updateTask(tx, request, 'scoring request', STEPS);
  if (taken === undefined) return row;
  if (taken === 'cancelled') await scoringQueue.cancel(tx, row.id);
  else await again(tx, request);
  await audit.append(tx, [
    {
      ...agentOf(caller, context),
      type: 'scoring',
      subtype: taken === 'cancelled' ? 'cancel' : 'retry',
      action: 'E',
      outcome: 0,
      patientId: row.patient_id,
      custodianId: current.custodian_id,
      entity: [`Task/${row.id}`],
    },
  ]);
  return row;
}

/** Whose data it is may have it tried again; anyone else only while he may score it. @throws Refusal 403, 409 when the job is no longer kept. */
async function again(tx: Queryable, request: WriteRequest & { current: ResourceRow }): Promise<void> {
  const { access, caller, current } = request;
  const { focus } = toResource(current);
  const type = idOf(focus, 'DiagnosticReport') === undefined ? 'ImagingStudy' : 'DiagnosticReport';
  const row = await findRow(tx, access, type, idOf(focus, type) ?? '');
  if (!row) throw conflict('What was to be scored is no longer there.', 'Task.focus');
  if (row.custodian_id !== caller.organizationId && !access.decide('score', row).allowed)
    throw forbidden('This may not be scored for you.');
  if (!(await retryJob(tx, current.id))) throw conflict('The job is no longer kept: place a new request.', 'Task.status');
}
