import type { Queryable } from '../store/database.js';
import { raw, sql } from '../store/sql.js';
import { carries } from './memory-budget.js';

/** A job that failed for good is begun again as if it were new, at the end of its class. @returns false when there is none that failed. */
export async function retryJob(tx: Queryable, taskId: string): Promise<boolean> {
  const rows = await tx.query(sql`
    update scoring_job set state = 'queued', attempts = 0, run_after = now(), created = now(), finished = null, last_error = null
    where task_id = ${taskId} and state = 'failed' returning task_id`);
  return rows.length > 0;
}

/** Jobs of a model that no process which scores carries, at least for now: they wait for one. */
export interface AwaitedModel {
  model: string;
  jobs: number;
  oldest: Date;
}

/** What one hospital's studies, or all, wait for. The first condition is that of the partial indexes. */
export const awaitedModels = (on: Queryable, custodianId?: string): Promise<AwaitedModel[]> =>
  on.query<AwaitedModel & Record<string, unknown>>(sql`
    select j.model, count(*)::integer as jobs, min(j.created) as oldest from scoring_job j
    where j.state in ('queued', 'running') and j.state = 'queued' and (${custodianId ?? null}::text is null or j.custodian_id = ${custodianId ?? null})
      and not exists (select from scoring_worker w where ${carries(raw('j.model'))})
    group by j.model order by j.model`);

/** A job that failed for good, with the reason. */
export interface FailedJob {
  taskId: string;
  focus: string;
  model: string;
  custodian: string;
  requester: string;
  automatic: boolean;
  reason: string;
  created: Date;
  failed: Date;
}

/** A page of the dead letter, newest first: of one hospital's studies, or of all. @param after the last of the page before. */
export async function failedJobs(
  on: Queryable,
  { custodianId, after, count }: { custodianId?: string; after?: { failed: Date; taskId: string }; count: number },
): Promise<FailedJob[]> {
  return on.query<FailedJob & Record<string, unknown>>(sql`
    select task_id as "taskId", focus_type || '/' || focus_id as focus, model, custodian_id as custodian, requester_id as requester, automatic,
      coalesce(last_error, '') as reason, created, date_trunc('milliseconds', finished) as failed
    from scoring_job where state = 'failed' and (${custodianId ?? null}::text is null or custodian_id = ${custodianId ?? null})
      and (${after?.taskId ?? null}::text is null
        or (date_trunc('milliseconds', finished), task_id) < (${after?.failed ?? null}::timestamptz, ${after?.taskId ?? null}))
    order by date_trunc('milliseconds', finished) desc, task_id desc limit ${count}`);
}
