import { CANONICAL_BASE } from '../../fhir-profiles/codes.js';
import type { Manifest } from '../../models/manifest.js';
import type { Scored } from '../../models/score-messages.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { inState, lockTask, moveTask } from '../jobs/task-state.js';
import type { Queryable } from '../store/database.js';
import { createResources, findResource, newId, type ResourceRow, toResource, type Write } from '../store/resources.js';
import { tokenKey } from '../store/tokens.js';
import { sql } from '../store/sql.js';
import { inRegion } from '../store/fhir-date.js';
import { labelsOfRecords, type RecordKey, takeLabelsOver } from '../store/study-labels.sql.js';
import { resultsOfReport } from './laboratory-values.js';
import { markSuperseded } from './mark-superseded.js';
import { type Job, scoringQueue } from './queue.sql.js';
import type { MadeBy } from './made-by.js';
import { insertScored, lockScoresOf, supersede } from './result-facts.sql.js';
import { resultsOf } from './results.js';
import { asRecorded, insertScoreRecord } from './score-record.js';
import { scoredImages } from './scored-images.sql.js';
import { insertStoreJob, wantsResults } from './store-back/queue.sql.js';
import { structuredReport } from './structured-report/structured-report.js';
import type { StudyHeader } from './study-header.js';

interface Publication {
  job: Job;
  owner: string;
  study: ResourceRow;
  manifest: Manifest;
  scored: Scored;
  made: MadeBy;
  /** FHIR dateTime of the study or of the sample, where it is known. */
  started: string | undefined;
  /** Of the scored images. */
  header?: StudyHeader;
}

/**
 * Publishes a score: results, Provenance, the completed Task, the audit and the end of the job, in the caller's transaction. False, and
 * nothing published, when the job is no longer this owner's or was cancelled.
 */
export async function publish(
  tx: Queryable,
  audit: Audit,
  { job, owner, study, manifest, scored, made, started, header }: Publication,
): Promise<boolean> {
  if (!(await scoringQueue.finish(tx, job.task_id, owner, 'done'))) return false;
  const task = await lockTask(tx, job.task_id);
  if (!task) throw new Error('a job without a Task');
  const now = new Date().toISOString();
  const results = resultsOf({
    scored,
    manifest,
    made,
    patientId: study.patient_id,
    focus: `${study.type}/${study.id}`,
    deviceId: await deviceOf(tx, manifest, now),
    started,
    now,
  });
  const { observations, report } = results;
  await lockScoresOf(tx, { focus_id: study.id, model: manifest.name });
  await insertScored(tx, { job, study, manifest, scored, reportId: report.id });
  const older = await supersede(tx, { report_id: report.id, focus_id: study.id, model: manifest.name }, true);
  const provenance = { ...results.provenance, entity: [...results.provenance.entity, ...older.map(revisionOf)] };
  // labels may have been set while it was scored
  const inputs = await inputsOf(tx, study, scored);
  const labelled = { ...study, labels: await labelsOfRecords(tx, inputs) };
  await createResources(
    tx,
    [...observations, report, provenance].map((resource) => ofStudy(labelled, job, resource)),
  );
  await takeLabelsOver(
    tx,
    [...observations, report, provenance].map(({ resourceType, id }) => ({ type: resourceType, id: id! })),
    inputs,
  );
  const record = {
    reportId: report.id,
    focus: `${study.type}/${study.id}`,
    custodianId: study.custodian_id,
    publishedAt: inRegion(now),
    manifest,
    scored: asRecorded(scored),
    made,
    header,
    images: await scoredImages(tx, study.custodian_id, scored),
  };
  await insertScoreRecord(tx, { record, provenanceId: provenance.id, taskId: task.id });
  const marked = await markSuperseded(tx, older, report.id);
  const filed =
    job.focus_type === 'ImagingStudy' && (await wantsResults(tx, study.custodian_id)) && structuredReport(record, true);
  if (filed)
    await insertStoreJob(tx, {
      ...job,
      report_id: report.id,
      report_version: 1,
      study_id: study.id,
      patient_id: study.patient_id,
      sop_instance_uid: filed.sopInstanceUid,
    });
  const output = [{ type: { text: 'report' }, valueReference: { reference: `DiagnosticReport/${report.id}` } }];
  await moveTask(tx, task, { status: 'completed', businessStatus: inState('completed'), output });
  const entity = [
    ...[report, provenance, ...observations].map((r) => `${r.resourceType}/${r.id}`),
    ...marked.map((r) => `${r.type}/${r.id}`),
  ];
  await audit.append(tx, [
    { ...entryOf(job), subtype: 'publish', action: 'C', entity: [`Task/${task.id}`, ...entity].slice(0, 100) },
  ]);
  return true;
}

/** What was scored, and each of its parts. */
async function inputsOf(tx: Queryable, { type, id }: ResourceRow, { inputs }: Scored): Promise<RecordKey[]> {
  if (type === 'ImagingStudy') return [{ type, id }];
  const now = await findResource(tx, type, id);
  const values = inputs.flatMap((input) => ('observationId' in input ? [input.observationId] : []));
  const results = new Set([...(now ? resultsOfReport(toResource(now)) : []), ...values]);
  return [{ type, id }, ...[...results].map((result) => ({ type: 'Observation', id: result }))];
}

/** A score takes the place of the older ones that no physician stands behind; the older ones stay readable. */
const revisionOf = (id: string) => ({ role: 'revision', what: { reference: `DiagnosticReport/${id}` } });

/** Results belong to the custodian of the study and have its scope and labels; who asked for them is a party. */
const ofStudy = (study: ResourceRow, job: Job, resource: Write['resource']): Write => ({
  resource,
  custodianId: study.custodian_id,
  parties: [job.requester_id],
  labels: study.labels,
  scope: {
    modality: study.modality,
    bodySite: study.body_site,
    ...(study.date_from ? { started: study.date_from } : {}),
  },
});

/** What every audit entry about a job says. */
export const entryOf = (job: Job): Omit<AuditEntry, 'subtype' | 'action'> => ({
  type: 'scoring',
  outcome: 0,
  agent: 'Device/hub',
  patientId: job.patient_id,
  custodianId: job.custodian_id,
  entity: [`Task/${job.task_id}`, `${job.focus_type}/${job.focus_id}`],
  detail: job.model,
  requestId: `Task/${job.task_id}`,
});

const MODEL_IDENTIFIER = `${CANONICAL_BASE}/identifier/model`;

/** The Device of a model version, made once; workers that need a new one at the same time wait for each other. */
async function deviceOf(tx: Queryable, { name, title, version, graph, limitsOfUse }: Manifest, now: string): Promise<string> {
  const value = `${name}@${version}#${graph.sha256}`;
  await tx.query(sql`select pg_advisory_xact_lock(hashtextextended(${`Device ${value}`}, 0))`);
  const [known] = await tx.query<{ id: string }>(sql`
    select id from resource where type = 'Device' and tokens @> ${[tokenKey(`identifier=${MODEL_IDENTIFIER}|${value}`)]}::text[] and not deleted`);
  if (known) return known.id;
  const device = {
    resourceType: 'Device',
    id: newId(),
    identifier: [{ system: MODEL_IDENTIFIER, value }],
    status: 'active',
    deviceName: [{ name: title, type: 'model-name' }],
    modelNumber: name,
    version: [{ value: version }, { type: { text: 'sha256 of the graph' }, value: graph.sha256 }],
    note: limitsOfUse.map((text) => ({ text, time: now })),
  };
  await createResources(tx, [{ resource: device, custodianId: '' }]);
  return device.id;
}
