import type { Logger } from 'pino';
import type { Audit, AuditEntry } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import { lockTask, moveTask } from '../../jobs/task-state.js';
import { type Claim, startWorkers, type Workers, type WorkerSettings } from '../../jobs/workers.js';
import type { Database, Queryable } from '../../store/database.js';
import { findResource, type ResourceRow, toResource } from '../../store/resources.js';
import { findScoreRecord } from '../score-record.js';
import { isOfScoredPatient } from '../scored-patient.sql.js';
import type { DicomDocument } from '../structured-report/dicom-document.js';
import { documentOf } from '../structured-report/documents.js';
import { KEY_OBJECT_SELECTION } from '../structured-report/rejection-note.js';
import { findVerdicts } from '../verdict/verdicts.sql.js';
import { type StoreJob, storeQueue } from './queue.sql.js';

/** Why a report is not in the archive; `again`: it may be there another time. */
interface NotStored {
  why: string;
  again: boolean;
}

export interface StoreBackDeps extends WorkerSettings {
  db: Database;
  audit: Audit;
  config: Pick<Config, 'deliveryHours'>;
  /** Has the archive of the custodian keep an object and the index take it; the same object again changes nothing. Resolves with why it is not there. */
  store(
    object: { custodianId: string; studyInstanceUid: string; bytes: Buffer; requestId: string },
    signal: AbortSignal,
  ): Promise<NotStored | undefined>;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Seconds before the first second try; the next waits twice as long, up to five minutes. Default 5. */
  retrySeconds?: number;
}

/** Starts workers that file structured reports in the archives of their custodians. Any number of processes may run them beside each other. */
export function startStoreBackWorkers(deps: StoreBackDeps): Workers {
  return startWorkers<StoreJob>({
    ...deps,
    name: 'result store',
    queue: storeQueue,
    begin: (tx, job) => deps.audit.append(tx, [{ ...entryOf(job), subtype: 'store-begin', action: 'E' }]),
    perform: (claim) => perform(deps, claim),
  });
}

type StoreClaim = Claim<StoreJob>;

async function perform(deps: StoreBackDeps, claim: StoreClaim): Promise<void> {
  const { job, owner, signal } = claim;
  const document = await documentFor(deps, job);
  if ('why' in document) return settle(deps, claim, document);
  const failure = await deps.store(objectOf(job, document), signal);
  if (signal.aborted) return storeQueue.requeue(deps.db, job.job_id, owner, 0, 'The worker stopped.', true);
  if (failure) return settle(deps, claim, failure);
  await finish(deps, claim, document.sopClassUid === KEY_OBJECT_SELECTION ? 'rejection-note' : 'structured-report');
}

const final = (why: string): NotStored => ({ why, again: false });

/** The document as it was when the score was published, or a physician had his say; nothing else may go under its UID. */
async function documentFor({ db }: StoreBackDeps, job: StoreJob): Promise<DicomDocument | NotStored> {
  const study = await findResource(db, 'ImagingStudy', job.study_id);
  if (!study || study.deleted) return final('The study is no longer indexed.');
  if (study.patient_id !== job.patient_id || !(await isOfScoredPatient(db, job.report_id, study.patient_id)))
    return final('The study is filed under another patient by now.');
  const record = await findScoreRecord(db, db, job.report_id);
  const verdicts = await findVerdicts(db, db, job.report_id);
  const verdict = verdicts.find(({ reportVersion }) => reportVersion === job.report_version);
  const document = record && documentOf(record, verdict, true);
  if (document?.sopInstanceUid !== job.sop_instance_uid)
    return final('This version of the program would make another report of the score.');
  return document;
}

const objectOf = (job: StoreJob, { studyInstanceUid, bytes }: DicomDocument) => ({
  custodianId: job.custodian_id,
  studyInstanceUid,
  bytes,
  requestId: `Task/${job.task_id}`,
});

const LONGEST_SECONDS = 300;
const HOUR = 3_600_000;

async function settle(deps: StoreBackDeps, claim: StoreClaim, { why, again }: NotStored): Promise<void> {
  const { job, owner } = claim;
  const isFinal = !again || Date.now() - job.created.getTime() > deps.config.deliveryHours * HOUR;
  deps.log.warn({ task: job.task_id, attempt: job.attempts, isFinal }, 'structured report not stored');
  if (isFinal) return fail(deps, claim, why);
  const seconds = Math.min(LONGEST_SECONDS, (deps.retrySeconds ?? 5) * 2 ** Math.min(job.attempts - 1, 10));
  await storeQueue.requeue(deps.db, job.job_id, owner, seconds, why);
}

/** What was published stands; the Task says where else it is. */
async function finish({ db, audit, log }: StoreBackDeps, { job, owner }: StoreClaim, kind: string): Promise<void> {
  const done = await db.transaction(async (tx) => {
    if (!(await storeQueue.finish(tx, job.job_id, owner, 'done'))) return false;
    const output = { type: { text: kind }, valueUri: `urn:oid:${job.sop_instance_uid}` };
    await changeTask(tx, job, (task) => ({ output: [...(toResource(task).output ?? []), output] }));
    await audit.append(tx, [{ ...entryOf(job), subtype: 'store', action: 'C' }]);
    return true;
  });
  log.info({ task: job.task_id, done }, 'structured report stored');
}

async function fail({ db, audit }: StoreBackDeps, { job, owner }: StoreClaim, why: string): Promise<void> {
  await db.transaction(async (tx) => {
    if (!(await storeQueue.finish(tx, job.job_id, owner, 'failed', why))) return;
    const note = { time: new Date().toISOString(), text: `The structured report is not in the archive. ${why}` };
    await changeTask(tx, job, (task) => ({ note: [...(toResource(task).note ?? []), note] }));
    await audit.append(tx, [{ ...entryOf(job), subtype: 'store', action: 'C', outcome: 8, detail: why }]);
  });
}

async function changeTask(tx: Queryable, job: StoreJob, change: (task: ResourceRow) => Record<string, unknown>): Promise<void> {
  const task = await lockTask(tx, job.task_id);
  if (task) await moveTask(tx, task, change(task));
}

const entryOf = (job: StoreJob): Omit<AuditEntry, 'subtype' | 'action'> => ({
  type: 'scoring',
  outcome: 0,
  agent: 'Device/hub',
  patientId: job.patient_id,
  custodianId: job.custodian_id,
  entity: [`DiagnosticReport/${job.report_id}`, `ImagingStudy/${job.study_id}`, `Task/${job.task_id}`],
  detail: `urn:oid:${job.sop_instance_uid}`,
  requestId: `Task/${job.task_id}`,
});
