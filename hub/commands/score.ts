import { insertEntries } from '../audit/insert-entries.sql.js';
import { type AuditEntry, COMMAND_LINE } from '../audit/vocabulary.js';
import { inState, lockTask, moveTask } from '../jobs/task-state.js';
import { awaitedModels, failedJobs, retryJob } from '../scoring/retry-job.js';
import type { Queryable } from '../store/database.js';
import { failedFilings, retryFilings } from '../scoring/store-back/failed-filings.sql.js';
import type { ResourceRow } from '../store/resources.js';
import { table, withDatabase } from './operate.js';

const SHOWN = 500;

/** `hub score failures [HOSPITAL]`: what failed for good, with the reason, and what waits for a model. */
export async function listFailures(hospital?: string): Promise<void> {
  const of = hospital ? { custodianId: hospital } : {};
  const [jobs, awaited] = await withDatabase((db) =>
    Promise.all([failedJobs(db, { count: SHOWN, ...of }), awaitedModels(db, hospital)]),
  );
  for (const { model, jobs: waiting } of awaited) console.log(`${waiting} wait for a process that carries ${model}`);
  if (jobs.length === 0) return console.log('no score has failed');
  console.log(table(jobs.map(({ created: _, automatic: __, ...job }) => job)));
  if (jobs.length === SHOWN) console.log(`the newest ${SHOWN}`);
}

/** `hub score retry TASK...`: begins failed scores again. Exit status 1 when one of them is none. */
export async function retryScores(taskIds: string[]): Promise<void> {
  await withDatabase(async (db) => {
    for (const taskId of taskIds) {
      const isBegun = await db.transaction((tx) => retry(tx, taskId));
      console.log(isBegun ? `${taskId} is queued again` : `${taskId} is no score that failed`);
      if (!isBegun) process.exitCode = 1;
    }
  });
}

/** `hub score unfiled [HOSPITAL]`: documents of scores that could not be filed in the archive of their custodian, with the reason. */
export async function listUnfiled(hospital?: string): Promise<void> {
  const of = hospital ? { custodianId: hospital } : {};
  const failed = await withDatabase((db) => failedFilings(db, { count: SHOWN, ...of }));
  if (failed.length === 0) return console.log('every document that was to be filed is, or waits');
  console.log(table(failed.map(({ created: _, ...filing }) => filing)));
  if (failed.length === SHOWN) console.log(`the newest ${SHOWN}`);
}

/** `hub score file TASK...`: has documents of scores filed that could not be. Exit status 1 when a Task has none. */
export async function fileAgain(taskIds: string[]): Promise<void> {
  await withDatabase(async (db) => {
    for (const taskId of taskIds) {
      const begun = await db.transaction((tx) => file(tx, taskId));
      console.log(begun > 0 ? `${taskId}: ${begun} queued again` : `${taskId} has no document that could not be filed`);
      if (begun === 0) process.exitCode = 1;
    }
  });
}

async function file(tx: Queryable, taskId: string): Promise<number> {
  const begun = await retryFilings(tx, taskId);
  const task = begun > 0 ? await lockTask(tx, taskId) : undefined;
  if (begun > 0) await tx.query(insertEntries([retried(taskId, 'store-retry', task)]));
  return begun;
}

async function retry(tx: Queryable, taskId: string): Promise<boolean> {
  if (!(await retryJob(tx, taskId))) return false;
  const task = await lockTask(tx, taskId);
  if (!task) throw new Error('a job without a Task');
  await moveTask(tx, task, { status: 'requested', businessStatus: inState('requested'), statusReason: undefined });
  await tx.query(insertEntries([retried(taskId, 'retry', task)]));
  return true;
}

const retried = (taskId: string, subtype: string, task: ResourceRow | undefined): AuditEntry => ({
  ...COMMAND_LINE,
  type: 'scoring',
  subtype,
  action: 'E',
  outcome: 0,
  patientId: task?.patient_id,
  custodianId: task?.custodian_id,
  entity: [`Task/${taskId}`],
});
