import type { Queryable } from '../store/database.js';
import type { FhirResource } from '../store/search-keys.js';
import { raw, type Sql, sql } from '../store/sql.js';

/** What every job is to its worker. */
export interface HeldJob {
  /** What the queue knows it by. */
  job_id: string;
  /** The Task that it works for. */
  task_id: string;
  /** How often it was begun, this time included. */
  attempts: number;
}

/** Which of the due jobs is taken. */
export interface Choice {
  /** The one that has waited longest, however urgent the others are. */
  longestWaiting?: boolean;
  /** Condition on a job; one that does not meet it is left to other processes. */
  among?: Sql;
  /** Condition on the job whose turn it is; when it does not meet it, none is taken, so that none overtakes it. */
  unless?: Sql;
}

/**
 * A queue of jobs, each work for a Task, in a table of its own with the columns `task_id`, `state`, `priority`, `created`, `run_after`,
 * `lease_owner`, `lease_until`, `attempts`, `last_error` and `finished`. Any number of workers in any number of processes may take from it.
 */
export interface JobQueue<Job extends HeldJob> {
  /** Takes the most urgent job that is due, or one whose worker let its lease run out. Each claim has an owner id of its own. */
  claim(tx: Queryable, owner: string, leaseSeconds: number, choice?: Choice): Promise<Job | undefined>;
  /** False when the lease is another's by now, or the job was cancelled: the work is to be dropped. */
  renew(on: Queryable, jobId: string, owner: string, leaseSeconds: number): Promise<boolean>;
  /** Ends a job that this owner holds; false when it doesn't: then nothing may be published. */
  finish(tx: Queryable, jobId: string, owner: string, state: 'done' | 'failed' | 'cancelled', error?: string): Promise<boolean>;
  /** Puts a job back, to be begun again after a while. `uncounted`: the attempt was no fault of the job. */
  requeue(on: Queryable, jobId: string, owner: string, seconds: number, error: string, uncounted?: boolean): Promise<void>;
  /** Stops a job that is not over; its worker notices when it renews the lease. */
  cancel(tx: Queryable, jobId: string): Promise<void>;
}

/** @param of the table, its key (the Task where each has one job), and its columns that a job has beside those of every job. */
export function jobQueue<Job extends HeldJob>(of: { table: string; key?: string; columns: readonly string[] }): JobQueue<Job> {
  const table = raw(of.table);
  const key = raw(of.key ?? 'task_id');
  const columns = raw([`${of.key ?? 'task_id'} as job_id`, 'task_id', 'attempts', ...of.columns].join(', '));
  return {
    claim: async (tx, owner, leaseSeconds, { longestWaiting, among = raw('true'), unless = raw('false') } = {}) => {
      const order = raw(longestWaiting ? 'created' : 'priority, created');
      // the first condition is that of the partial indexes, which give the order: the rows that are passed over are those that are running or put back
      const [job] = await tx.query<Job & Record<string, unknown>>(sql`
        update ${table} set state = 'running', lease_owner = ${owner}, lease_until = now() + make_interval(secs => ${leaseSeconds}), attempts = attempts + 1
        where ${key} = (
          select ${key} from ${table}
          where state in ('queued', 'running') and (case state when 'queued' then run_after <= now() else lease_until < now() end) and (${among})
          order by ${order} limit 1 for update skip locked) and not (${unless})
        returning ${columns}`);
      return job;
    },
    renew: async (on, jobId, owner, leaseSeconds) => {
      const held = await on.query(sql`
        update ${table} set lease_until = now() + make_interval(secs => ${leaseSeconds})
        where ${key} = ${jobId} and lease_owner = ${owner} and state = 'running' returning ${key}`);
      return held.length > 0;
    },
    finish: async (tx, jobId, owner, state, error) => {
      const held = await tx.query(sql`
        update ${table} set state = ${state}, finished = now(), lease_until = null, lease_owner = null, last_error = ${error ?? null}
        where ${key} = ${jobId} and lease_owner = ${owner} and state = 'running' returning ${key}`);
      return held.length > 0;
    },
    requeue: async (on, jobId, owner, seconds, error, uncounted = false) => {
      await on.query(sql`
        update ${table} set state = 'queued', lease_until = null, lease_owner = null, last_error = ${error},
          run_after = now() + make_interval(secs => ${seconds}), attempts = attempts - ${uncounted ? 1 : 0}::integer
        where ${key} = ${jobId} and lease_owner = ${owner} and state = 'running'`);
    },
    cancel: async (tx, jobId) => {
      await tx.query(
        sql`update ${table} set state = 'cancelled', finished = now() where ${key} = ${jobId} and state in ('queued', 'running')`,
      );
    },
  };
}

/** Order of Task.priority (R4 request-priority) in a queue: lower comes first. */
const PRIORITY: Readonly<Record<string, number>> = { stat: 10, asap: 20, urgent: 30, routine: 100 };

/** @param priority R4 request-priority; anything else is routine. */
export const rankOf = (priority: string | undefined): number => PRIORITY[priority ?? 'routine'] ?? PRIORITY.routine!;

export const priorityOf = (task: FhirResource): number => rankOf(task.priority);
