import { type HeldJob, jobQueue } from '../../jobs/queue.sql.js';
import type { Queryable } from '../../store/database.js';
import { newId } from '../../store/resources.js';
import { sql } from '../../store/sql.js';

/** A document of a score on its way to the archive of its custodian; `task_id` is the Task that was scored. */
export interface StoreJob extends HeldJob {
  report_id: string;
  /** The version of the report that the document is of. */
  report_version: number;
  study_id: string;
  /** Patient of the study when it was scored. */
  patient_id: string;
  custodian_id: string;
  /** Of the document. */
  sop_instance_uid: string;
  created: Date;
}

export const storeQueue = jobQueue<StoreJob>({
  table: 'result_store_job',
  key: 'job_id',
  columns: ['report_id', 'report_version', 'study_id', 'patient_id', 'custodian_id', 'sop_instance_uid', 'created'],
});

export async function insertStoreJob(tx: Queryable, job: Omit<StoreJob, 'job_id' | 'attempts' | 'created'>): Promise<void> {
  await tx.query(sql`
    insert into result_store_job (job_id, task_id, report_id, report_version, study_id, patient_id, custodian_id, sop_instance_uid)
    values (${newId()}, ${job.task_id}, ${job.report_id}, ${job.report_version}, ${job.study_id}, ${job.patient_id}, ${job.custodian_id}, ${job.sop_instance_uid})`);
}

/** Whether a custodian has results stored in its archive: `storeResults` of the source that keeps what the hub stores. */
export async function wantsResults(on: Queryable, custodianId: string): Promise<boolean> {
  const rows = await on.query(sql`
    select from connector where organization_id = ${custodianId} and enabled and settings @> '{"store": true, "storeResults": true}'`);
  return rows.length > 0;
}

/** SOP Instance UIDs of the documents of a report that go, or went, to the archive, by version of the report. */
export async function filedDocuments(on: Queryable, reportId: string): Promise<Map<number, string>> {
  const rows = await on.query<{ report_version: number; sop_instance_uid: string }>(
    sql`select report_version, sop_instance_uid from result_store_job where report_id = ${reportId}`,
  );
  return new Map(rows.map(({ report_version, sop_instance_uid }) => [report_version, sop_instance_uid]));
}

/** Whether the hub stores, or has stored, a report with this study. */
export async function hasStoredResults(on: Queryable, studyId: string): Promise<boolean> {
  const rows = await on.query(sql`select from result_store_job where study_id = ${studyId} limit 1`);
  return rows.length > 0;
}
