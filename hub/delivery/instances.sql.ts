import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** An object that is still to be delivered. */
export interface PendingInstance {
  sopInstanceUid: string;
  seriesInstanceUid: string;
}

export interface Counts {
  total: number;
  delivered: number;
  failed: number;
  pending: number;
}

/** How often an object is tried that the recipient's archive has no room for, or the custodian's does not send. */
const MOST_ATTEMPTS = 3;

/**
 * Enters what the custodian's archives hold of these series of a study now; what was entered before stays as it is. What waits in a series that is no
 * longer opened is given up.
 */
export async function planInstances(
  tx: Queryable,
  taskId: string,
  of: { custodianId: string; studyInstanceUid: string; series: readonly string[] },
): Promise<void> {
  await tx.query(sql`
    insert into delivery_instance (task_id, sop_instance_uid, series_instance_uid)
    select ${taskId}, i.sop_instance_uid, i.series_instance_uid from imaging_instance i
    where i.custodian_id = ${of.custodianId} and i.study_instance_uid = ${of.studyInstanceUid} and i.series_instance_uid = any(${[...of.series]}::text[])
      and i.connector_id is not null and i.locator is not null
    on conflict do nothing`);
  await tx.query(sql`
    update delivery_instance set state = 'failed', settled = now(), detail = 'Its series is not opened.'
    where task_id = ${taskId} and state = 'pending' and series_instance_uid <> all(${[...of.series]}::text[])`);
}

/** What is not settled yet, series by series; only of these series. */
export function pendingInstances(on: Queryable, taskId: string, series: readonly string[]): Promise<PendingInstance[]> {
  return on.query<PendingInstance & Record<string, unknown>>(sql`
    select sop_instance_uid as "sopInstanceUid", series_instance_uid as "seriesInstanceUid" from delivery_instance
    where task_id = ${taskId} and state = 'pending' and series_instance_uid = any(${[...series]}::text[]) order by series_instance_uid, sop_instance_uid`);
}

export async function countInstances(on: Queryable, taskId: string): Promise<Counts> {
  const [row] = await on.query<Counts & Record<string, unknown>>(sql`
    select count(*)::int as total, count(*) filter (where state = 'delivered')::int as delivered,
      count(*) filter (where state = 'failed')::int as failed, count(*) filter (where state = 'pending')::int as pending
    from delivery_instance where task_id = ${taskId}`);
  return row as Counts;
}

/** Some of the objects that were given up, with the reason. */
export function failedInstances(on: Queryable, taskId: string, most: number): Promise<{ uid: string; detail: string | null }[]> {
  return on.query<{ uid: string; detail: string | null }>(sql`
    select sop_instance_uid as uid, detail from delivery_instance where task_id = ${taskId} and state = 'failed' order by sop_instance_uid limit ${most}`);
}

/** These left, and nothing tells what became of them: whatever is answered another time, the recipient may have them. */
export async function noteUnanswered(on: Queryable, taskId: string, sopInstanceUids: readonly string[]): Promise<void> {
  await on.query(
    sql`update delivery_instance set unanswered = true where task_id = ${taskId} and sop_instance_uid = any(${[...sopInstanceUids]}::text[])`,
  );
}

/**
 * Records what became of one object, if no other worker has the job by now.
 * @param outcome `retryable`: a failure may pass.
 * @returns false when the job is another's, or was cancelled: nothing more is to be sent.
 */
export async function settleInstance(
  on: Queryable,
  claim: { taskId: string; owner: string },
  outcome: { sopInstanceUid: string; delivered: boolean; retryable?: boolean; detail?: string },
): Promise<boolean> {
  const most = outcome.retryable ? MOST_ATTEMPTS : 1;
  const [row] = await on.query<{ state: string }>(sql`
    update delivery_instance i set attempts = i.attempts + 1, detail = ${outcome.detail ?? null}, settled = now(),
      state = case when ${outcome.delivered} then 'delivered' when i.attempts + 1 >= ${most} then 'failed' else 'pending' end
    from delivery_job j
    where i.task_id = ${claim.taskId} and i.sop_instance_uid = ${outcome.sopInstanceUid} and i.state <> 'delivered'
      and j.task_id = i.task_id and j.lease_owner = ${claim.owner} and j.state in ('running', 'cancelled')
    returning j.state`);
  return row?.state === 'running';
}
