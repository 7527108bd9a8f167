import type { Caller } from '../access/caller.js';
import { type HeldJob, type JobQueue, jobQueue } from '../jobs/queue.sql.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** One scoring job as its worker holds it. */
export interface Job extends HeldJob {
  /** What is scored. */
  focus_type: 'ImagingStudy' | 'DiagnosticReport';
  /** Id of the study, or of the laboratory's report. */
  focus_id: string;
  patient_id: string;
  custodian_id: string;
  requester_id: string;
  /** Who asked; null where a rule of the custodian did. */
  caller: Caller | null;
  model: string;
}

/** Channel on which the processes that score hear of cancelled jobs: the id of the Task. */
export const CANCELLED = 'scoring_cancelled';

const queue = jobQueue<Job>({
  table: 'scoring_job',
  columns: ['focus_type', 'focus_id', 'patient_id', 'custodian_id', 'requester_id', 'caller', 'model'],
});

export const scoringQueue: JobQueue<Job> = {
  ...queue,
  cancel: async (tx, taskId) => {
    await queue.cancel(tx, taskId);
    await tx.query(sql`select pg_notify(${CANCELLED}, ${taskId})`);
  },
};

export interface NewJob {
  taskId: string;
  focusType: Job['focus_type'];
  focusId: string;
  focusVersion: number;
  patientId: string;
  custodianId: string;
  requesterId: string;
  caller?: Caller;
  model: string;
  /** Lower comes first. */
  priority: number;
  automatic?: boolean;
  /** Seconds before it may begin. */
  delay?: number;
}

export async function insertJob(tx: Queryable, job: NewJob): Promise<void> {
  await tx.query(sql`
    insert into scoring_job (task_id, focus_type, focus_id, focus_version, patient_id, custodian_id, requester_id, caller, model, priority, automatic, run_after)
    values (${job.taskId}, ${job.focusType}, ${job.focusId}, ${job.focusVersion}, ${job.patientId}, ${job.custodianId}, ${job.requesterId}, ${job.caller ? JSON.stringify(job.caller) : null}, ${job.model},
      ${job.priority}, ${job.automatic ?? false}, now() + make_interval(secs => ${job.delay ?? 0}))`);
}

/** Days that finished jobs are kept; their Tasks stay. What failed can be tried again as long as it is here. */
const KEPT_DAYS = { over: 30, failed: 180 };
const PRUNED_AT_ONCE = 5_000;

/** Takes what ended long ago out of the table, so that it stays as small as the work. To be called now and then; safe in many processes. */
export async function pruneJobs(db: Queryable): Promise<number> {
  const rows = await db.query(sql`
    delete from scoring_job where task_id in (
      select task_id from scoring_job
      where state in ('done', 'failed', 'cancelled')
        and finished < now() - make_interval(days => case state when 'failed' then ${KEPT_DAYS.failed}::integer else ${KEPT_DAYS.over}::integer end)
        and finished < now() - make_interval(days => ${KEPT_DAYS.over})
      order by finished limit ${PRUNED_AT_ONCE} for update skip locked)
    returning task_id`);
  return rows.length;
}
