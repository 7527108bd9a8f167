import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { Delivery, DeliveryJob } from './queue.sql.js';

/** A copy at a hospital that received it. */
export interface Copy
  extends Pick<Delivery, 'study_id' | 'patient_id' | 'custodian_id' | 'recipient_id' | 'local_patient_id' | 'caller'> {
  task_id: string;
  /** Series of which the recipient has something, or may have. */
  series: string[];
}

/** An object of this series leaves for the recipient: whatever becomes of its acknowledgement, a copy may be there from now on. */
export async function noteCopy(
  tx: Queryable,
  job: DeliveryJob,
  seriesInstanceUid: string,
  until: Date | undefined,
): Promise<void> {
  await tx.query(sql`
    insert into delivered_copy as c (task_id, study_id, patient_id, custodian_id, recipient_id, local_patient_id, series, caller, allowed_until)
    values (${job.task_id}, ${job.study_id}, ${job.patient_id}, ${job.custodian_id}, ${job.recipient_id}, ${job.local_patient_id},
      ${[seriesInstanceUid]}, ${JSON.stringify(job.caller)}, ${until ?? null})
    on conflict (task_id) do update set allowed_until = excluded.allowed_until, caller = excluded.caller,
      series = case when c.series @> excluded.series then c.series else c.series || excluded.series end,
      ended_at = null, ended_because = null`);
}

/** There is no copy where every object was refused, and each time that it was sent. */
export async function forgetCopy(tx: Queryable, taskId: string): Promise<void> {
  await tx.query(sql`
    delete from delivered_copy where task_id = ${taskId}
      and not exists (select from delivery_instance where task_id = ${taskId} and (state in ('delivered', 'pending') or unanswered))`);
}

/** Which copies are due: by the database's clock, as it is now. */
export interface Due {
  /** Not looked at since then. */
  since: string;
  now: string;
}

export async function dueBefore(on: Queryable, seconds: number): Promise<Due> {
  const [due] = await on.query<Due & Record<string, unknown>>(
    sql`select (clock_timestamp() - make_interval(secs => ${seconds}))::text as since, clock_timestamp()::text as now`,
  );
  return due as Due;
}

/** Copies that are due, those that waited longest first; each is taken by one process, once. Those whose basis ends by itself are due then, too. */
export function copiesToCheck(tx: Queryable, { since, now }: Due, most: number): Promise<Copy[]> {
  return tx.query<Copy & Record<string, unknown>>(sql`
    update delivered_copy set checked = clock_timestamp() where task_id in (
      select task_id from delivered_copy
      where ended_at is null and checked < ${now}::timestamptz and (checked < ${since}::timestamptz or allowed_until <= ${now}::timestamptz)
      order by checked limit ${most} for update skip locked)
    returning task_id, study_id, patient_id, custodian_id, recipient_id, local_patient_id, series, caller`);
}

/** False when it had ended before. */
export async function endCopy(tx: Queryable, taskId: string, because: string): Promise<boolean> {
  const rows = await tx.query(
    sql`update delivered_copy set ended_at = now(), ended_because = ${because} where task_id = ${taskId} and ended_at is null returning task_id`,
  );
  return rows.length > 0;
}

/** What allows it now ends then; undefined: no end is set. */
export async function prolongCopy(on: Queryable, taskId: string, until: Date | undefined): Promise<void> {
  await on.query(sql`
    update delivered_copy set allowed_until = ${until ?? null} where task_id = ${taskId} and allowed_until is distinct from ${until ?? null}`);
}
