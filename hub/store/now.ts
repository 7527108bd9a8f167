import type { Queryable } from './database.js';
import { sql } from './sql.js';

/** The one clock by which anything is valid or over: the database's, at the start of the transaction (to the millisecond). A process's own clock decides about tokens only. */
export async function databaseNow(tx: Queryable): Promise<Date> {
  const [row] = await tx.query<{ now: Date }>(sql`select now() as now`);
  if (!row) throw new Error('no clock');
  return row.now;
}
