import { type HeldJob, jobQueue } from '../../jobs/queue.sql.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';

/** A structured report on its way to the archive of its custodian; `task_id` is the Task that was scored. */
export interface StoreJob extends HeldJob {
  report_id: string;
  study_id: string;
  /** Patient of the study when it was scored. */
  patient_id: string;
  custodian_id: string;
  /** Of the structured report. */
  sop_instance_uid: string;
  created: Date;
}

export const storeQueue = jobQueue<StoreJob>({
  table: 'result_store_job',
  columns: ['report_id', 'study_id', 'patient_id', 'custodian_id', 'sop_instance_uid', 'created'],
});

export async function insertStoreJob(tx: Queryable, job: Omit<StoreJob, 'attempts' | 'created'>): Promise<void> {
  await tx.query(sql`
    insert into result_store_job (task_id, report_id, study_id, patient_id, custodian_id, sop_instance_uid)
    values (${job.task_id}, ${job.report_id}, ${job.study_id}, ${job.patient_id}, ${job.custodian_id}, ${job.sop_instance_uid})`);
}

/** Whether a custodian has results stored in its archive: `storeResults` of the source that keeps what the hub stores. */
export async function wantsResults(on: Queryable, custodianId: string): Promise<boolean> {
  const rows = await on.query(sql`
    select from connector where organization_id = ${custodianId} and enabled and settings @> '{"store": true, "storeResults": true}'`);
  return rows.length > 0;
}

/** Whether the hub stores, or has stored, a report with this study. */
export async function hasStoredResults(on: Queryable, studyId: string): Promise<boolean> {
  const rows = await on.query(sql`select from result_store_job where study_id = ${studyId} limit 1`);
  return rows.length > 0;
}
