import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';

/** A document of a score that is not in the archive of its custodian, for good, with the reason. */
export interface FailedFiling {
  taskId: string;
  report: string;
  study: string;
  custodian: string;
  reason: string;
  created: Date;
  failed: Date;
}

/** The dead letter, newest first: of one hospital's studies, or of all. */
export async function failedFilings(
  on: Queryable,
  { custodianId, count }: { custodianId?: string; count: number },
): Promise<FailedFiling[]> {
  return on.query<FailedFiling & Record<string, unknown>>(sql`
    select task_id as "taskId", 'DiagnosticReport/' || report_id as report, 'ImagingStudy/' || study_id as study, custodian_id as custodian,
      coalesce(last_error, '') as reason, created, finished as failed
    from result_store_job where state = 'failed' and (${custodianId ?? null}::text is null or custodian_id = ${custodianId ?? null})
    order by finished desc, job_id desc limit ${count}`);
}

/** Documents of a Task's score that could not be filed are tried again as if they were new, for as many hours. @returns how many. */
export async function retryFilings(tx: Queryable, taskId: string): Promise<number> {
  const rows = await tx.query(sql`
    update result_store_job set state = 'queued', attempts = 0, run_after = now(), created = now(), finished = null, last_error = null
    where task_id = ${taskId} and state = 'failed' returning job_id`);
  return rows.length;
}
