import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

export interface JobState {
  taskId: string;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  model: string;
  /** How often it was begun. */
  attempts: number;
  /** Of one that waits: how many are before it, counted up to `MOST_BEFORE`. */
  before: number | null;
  /** Why it failed, or was put back. */
  error: string | null;
}

/** Places of a queue that are told exactly. */
export const MOST_BEFORE = 1_000;

/** The jobs of these Tasks as they stand; a Task that has none is left out. */
export async function jobStates(on: Queryable, taskIds: readonly string[]): Promise<JobState[]> {
  return on.query<JobState & Record<string, unknown>>(sql`
    select j.task_id as "taskId", j.state, j.model, j.attempts, j.last_error as error,
      case j.state when 'queued' then (
        select count(*)::integer from (
          select from scoring_job o
          where o.state in ('queued', 'running') and o.state = 'queued' and (o.priority, o.created) < (j.priority, j.created)
          limit ${MOST_BEFORE}) as earlier) end as before
    from scoring_job j where j.task_id = any(${taskIds}::text[])`);
}
