import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** One job as its worker holds it. */
export interface Job {
  task_id: string;
  study_id: string;
  patient_id: string;
  custodian_id: string;
  requester_id: string;
  model: string;
  /** How often it was begun, this time included. */
  attempts: number;
}

type JobRow = Job & Record<string, unknown>;

export interface NewJob {
  taskId: string;
  studyId: string;
  studyVersion: number;
  patientId: string;
  custodianId: string;
  requesterId: string;
  model: string;
  /** Lower comes first. */
  priority: number;
  automatic?: boolean;
  /** Seconds before it may begin. */
  delay?: number;
}

export async function insertJob(tx: Queryable, job: NewJob): Promise<void> {
  await tx.query(sql`
    insert into scoring_job (task_id, study_id, study_version, patient_id, custodian_id, requester_id, model, priority, automatic, run_after)
    values (${job.taskId}, ${job.studyId}, ${job.studyVersion}, ${job.patientId}, ${job.custodianId}, ${job.requesterId}, ${job.model},
      ${job.priority}, ${job.automatic ?? false}, now() + make_interval(secs => ${job.delay ?? 0}))`);
}

/** Takes the most urgent job that is due, or one whose worker let its lease run out. Each claim has an owner id of its own. */
export async function claimJob(tx: Queryable, owner: string, leaseSeconds: number): Promise<Job | undefined> {
  const [job] = await tx.query<JobRow>(sql`
    update scoring_job set state = 'running', lease_owner = ${owner}, lease_until = now() + make_interval(secs => ${leaseSeconds}), attempts = attempts + 1
    where task_id = (
      select task_id from scoring_job
      where (state = 'queued' and run_after <= now()) or (state = 'running' and lease_until < now())
      order by priority, created limit 1 for update skip locked)
    returning task_id, study_id, patient_id, custodian_id, requester_id, model, attempts`);
  return job;
}

/** False when the lease is another's by now, or the job was cancelled: the work is to be dropped. */
export async function renewLease(on: Queryable, taskId: string, owner: string, leaseSeconds: number): Promise<boolean> {
  const held = await on.query(sql`
    update scoring_job set lease_until = now() + make_interval(secs => ${leaseSeconds})
    where task_id = ${taskId} and lease_owner = ${owner} and state = 'running' returning task_id`);
  return held.length > 0;
}

/** Ends a job that this owner holds; false when it doesn't: then nothing may be published. */
export async function finishJob(
  tx: Queryable,
  taskId: string,
  owner: string,
  state: 'done' | 'failed' | 'cancelled',
  error?: string,
): Promise<boolean> {
  const held = await tx.query(sql`
    update scoring_job set state = ${state}, finished = now(), lease_until = null, lease_owner = null, last_error = ${error ?? null}
    where task_id = ${taskId} and lease_owner = ${owner} and state = 'running' returning task_id`);
  return held.length > 0;
}

/** Puts a job back, to be begun again after a while. `uncounted`: the attempt was no fault of the job. */
export async function requeueJob(
  on: Queryable,
  taskId: string,
  owner: string,
  seconds: number,
  error: string,
  uncounted = false,
): Promise<void> {
  await on.query(sql`
    update scoring_job set state = 'queued', lease_until = null, lease_owner = null, last_error = ${error},
      run_after = now() + make_interval(secs => ${seconds}), attempts = attempts - ${uncounted ? 1 : 0}::integer
    where task_id = ${taskId} and lease_owner = ${owner} and state = 'running'`);
}

/** Stops a job that is not over; its worker notices when it renews the lease. */
export async function cancelJob(tx: Queryable, taskId: string): Promise<void> {
  await tx.query(
    sql`update scoring_job set state = 'cancelled', finished = now() where task_id = ${taskId} and state in ('queued', 'running')`,
  );
}
