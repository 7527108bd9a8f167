import { inState, lockTask, moveTask } from '../jobs/task-state.js';
import { mapInTurn } from '../store/in-turn.js';
import type { Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { scoringQueue } from './queue.sql.js';

/** A study is no longer what it was: scores of it that are not made yet are not made; their Tasks say why. */
export async function withdrawScoring(tx: Queryable, study: ResourceRow, because: string): Promise<void> {
  const open = await tx.query<{ task_id: string }>(
    sql`select task_id from scoring_job where focus_id = ${study.id} and state in ('queued', 'running') order by task_id`,
  );
  await mapInTurn(open, async ({ task_id }) => {
    await scoringQueue.cancel(tx, task_id);
    const task = await lockTask(tx, task_id);
    const ended = { status: 'cancelled', businessStatus: inState('cancelled'), statusReason: { text: because } };
    if (task) await moveTask(tx, task, ended);
  });
}
