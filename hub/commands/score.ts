import { insertEntries } from '../audit/insert-entries.sql.js';
import { COMMAND_LINE } from '../audit/vocabulary.js';
import { inState, lockTask, moveTask } from '../jobs/task-state.js';
import { awaitedModels, failedJobs, retryJob } from '../scoring/retry-job.js';
import type { Queryable } from '../store/database.js';
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

async function retry(tx: Queryable, taskId: string): Promise<boolean> {
  if (!(await retryJob(tx, taskId))) return false;
  const task = await lockTask(tx, taskId);
  if (!task) throw new Error('a job without a Task');
  await moveTask(tx, task, { status: 'requested', businessStatus: inState('requested'), statusReason: undefined });
  await tx.query(
    insertEntries([
      {
        ...COMMAND_LINE,
        type: 'scoring',
        subtype: 'retry',
        action: 'E',
        outcome: 0,
        patientId: task.patient_id,
        custodianId: task.custodian_id,
        entity: [`Task/${taskId}`],
      },
    ]),
  );
  return true;
}
