import { systems } from '../../fhir-profiles/codes.js';
import type { Manifest } from '../../models/manifest.js';
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
import { createResources, type ResourceRow } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { accepts, type Models } from './models.js';
import { insertJob, scoringQueue } from './queue.sql.js';

/**
 * Writer for Tasks that ask for a study to be scored. The right to score is not the right to view: the requester needs the one,
 * and reads the result as a party to it. An update can only cancel, or add a note.
 */
export function scoringTaskWriter(models: Models, audit: Audit): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) rows.push(await place(tx, models, audit, request));
      return rows;
    },
    update: (tx, request) => cancel(tx, audit, request),
  };
}

async function place(tx: Queryable, models: Models, audit: Audit, request: WriteRequest): Promise<ResourceRow> {
  const { caller, resource, context } = request;
  if (idOf(resource.requester, 'Organization') !== caller.organizationId)
    throw forbidden('A request is placed in the name of one’s own organization: Task.requester.');
  if (resource.status !== 'requested') throw conflict('A new scoring request is requested.', 'Task.status');
  const study = await scorableStudy(tx, request);
  if (!(await isSamePerson(tx, idOf(resource.for, 'Patient') ?? '', study.patient_id)))
    throw refused('The study is not known to be of this patient.', 'Task.for');
  const model = chooseModel(models, resource, study);
  const row = await placeScoringTask(tx, { ...resource, businessStatus: inState('requested') }, study, model.name);
  await audit.append(tx, [
    {
      ...agentOf(caller, context),
      type: 'scoring',
      subtype: 'request',
      action: 'E',
      outcome: 0,
      patientId: study.patient_id,
      custodianId: study.custodian_id,
      entity: [`Task/${row.id}`, `ImagingStudy/${study.id}`],
      detail: `${model.name} ${model.version}`,
    },
  ]);
  return row;
}

async function scorableStudy(tx: Queryable, { access, resource }: WriteRequest): Promise<ResourceRow> {
  const study = await findRow(tx, access, 'ImagingStudy', idOf(resource.focus, 'ImagingStudy') ?? '');
  if (!study || !access.decide('know', study).allowed) throw nowhere('Task.focus');
  const decision = access.decide('score', study);
  if (!decision.allowed)
    throw forbidden('The study may not be scored for you.', {
      system: systems.denialReason,
      code: decision.reason ?? 'no-basis',
    });
  return study;
}

/** The model that Task.input names (type `model`), else the only one that is made for such a study. */
function chooseModel(models: Models, task: FhirResource, study: ResourceRow): Manifest {
  const named = modelNamed(task);
  const fitting = [...models.values()].filter((m) => accepts(m, study) && (named === undefined || m.name === named));
  if (fitting.length === 1) return fitting[0]!;
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
  automatic?: { delay: number },
): Promise<ResourceRow> {
  const now = new Date().toISOString();
  const requesterId = idOf(task.requester, 'Organization')!;
  const placed = { ...task, intent: 'order', authoredOn: now, lastModified: now };
  const [row] = await createResources(tx, [{ resource: placed, custodianId: requesterId, parties: [study.custodian_id] }]);
  if (!row) throw new Error('the Task was not stored');
  await insertJob(tx, {
    taskId: row.id,
    studyId: study.id,
    studyVersion: study.version,
    patientId: study.patient_id,
    custodianId: study.custodian_id,
    requesterId,
    model,
    priority: priorityOf(task),
    ...(automatic ? { automatic: true, delay: automatic.delay } : {}),
  });
  return row;
}

/** Of an open request only the end can be asked for. */
const STEPS = { requested: ['cancelled'], 'in-progress': ['cancelled'] };

async function cancel(tx: Queryable, audit: Audit, request: WriteRequest & { current: ResourceRow }): Promise<ResourceRow> {
  const { caller, context, current } = request;
  const { row, step } = await updateTask(tx, request, 'scoring request', STEPS);
  if (step !== 'cancelled') return row;
  await scoringQueue.cancel(tx, row.id);
  await audit.append(tx, [
    {
      ...agentOf(caller, context),
      type: 'scoring',
      subtype: 'cancel',
      action: 'E',
      outcome: 0,
      patientId: row.patient_id,
      custodianId: current.custodian_id,
      entity: [`Task/${row.id}`],
    },
  ]);
  return row;
}
