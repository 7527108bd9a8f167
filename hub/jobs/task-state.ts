import { systems } from '../../fhir-profiles/codes.js';
import type { Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { sql } from '../store/sql.js';
import type { HeldJob, JobQueue } from './queue.sql.js';
import type { Claim } from './workers.js';

/** Task.businessStatus of a state. */
export const inState = (code: string) => ({ coding: [{ system: systems.businessStatus, code }] });

/** The Task under lock, while its worker changes it. */
export async function lockTask(tx: Queryable, id: string): Promise<ResourceRow | undefined> {
  await tx.query(sql`select from resource where type = 'Task' and id = ${id} for update`);
  return findResource(tx, 'Task', id);
}

/** A change of the Task by the hub itself. */
export async function moveTask(tx: Queryable, row: ResourceRow, change: Record<string, unknown>): Promise<ResourceRow> {
  const next = { ...toResource(row), ...change, lastModified: new Date().toISOString() };
  return updateResource(tx, { resource: next, custodianId: row.custodian_id, parties: row.parties }, row.version);
}

/** A worker has begun it. */
export async function beginTask(tx: Queryable, id: string): Promise<void> {
  const task = await lockTask(tx, id);
  if (task && toResource(task).status === 'requested')
    await moveTask(tx, task, { status: 'in-progress', businessStatus: inState('in-progress') });
}

/** The dead letter: the Task says why, the job stays with its last error. @param more what else of the Task changes. @returns false when the job is no longer this owner's. */
export async function failTask<Job extends HeldJob>(
  tx: Queryable,
  queue: JobQueue<Job>,
  { job, owner }: Pick<Claim<Job>, 'job' | 'owner'>,
  reason: string,
  more: (task: ResourceRow) => Record<string, unknown> = () => ({}),
): Promise<boolean> {
  if (!(await queue.finish(tx, job.job_id, owner, 'failed', reason))) return false;
  const task = await lockTask(tx, job.task_id);
  if (task)
    await moveTask(tx, task, { ...more(task), status: 'failed', businessStatus: undefined, statusReason: { text: reason } });
  return true;
}
