import { inState, lockTask, moveTask } from '../jobs/task-state.js';
import type { Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { openDelivery, retryFailed } from './queue.sql.js';

/** A delivery that failed for good, with the reason. */
export interface FailedDelivery {
  taskId: string;
  study: string;
  custodian: string;
  recipient: string;
  /** Objects that are not delivered, of how many. */
  missing: number;
  total: number;
  reason: string;
  created: Date;
  failed: Date;
}

/** The dead letter, newest first: deliveries to one hospital, or all. */
export async function failedDeliveries(
  on: Queryable,
  { recipientId, count }: { recipientId?: string; count: number },
): Promise<FailedDelivery[]> {
  return on.query<FailedDelivery & Record<string, unknown>>(sql`
    select j.task_id as "taskId", 'ImagingStudy/' || j.study_id as study, j.custodian_id as custodian, j.recipient_id as recipient,
      (select count(*)::int from delivery_instance i where i.task_id = j.task_id and i.state <> 'delivered') as missing,
      (select count(*)::int from delivery_instance i where i.task_id = j.task_id) as total,
      coalesce(j.last_error, '') as reason, j.created, j.finished as failed
    from delivery_job j where j.state = 'failed' and (${recipientId ?? null}::text is null or j.recipient_id = ${recipientId ?? null})
    order by j.finished desc, j.task_id desc limit ${count}`);
}

/**
 * Begins a delivery that failed again, in the right of whoever asked for it: the policy is asked anew. What arrived is not sent again.
 * @returns its Task; undefined when it is none that failed, or another one delivers the study to the hospital by now.
 */
export async function retryFailedDelivery(tx: Queryable, taskId: string): Promise<ResourceRow | undefined> {
  const [job] = await tx.query<{ study_id: string; recipient_id: string }>(
    sql`select study_id, recipient_id from delivery_job where task_id = ${taskId} and state = 'failed' for update`,
  );
  if (!job || (await openDelivery(tx, job.study_id, job.recipient_id))) return undefined;
  await retryFailed(tx, taskId);
  const task = await lockTask(tx, taskId);
  if (!task) throw new Error('a job without a Task');
  return moveTask(tx, task, { status: 'requested', businessStatus: inState('requested'), statusReason: undefined });
}
