import type { Database, Queryable } from '../store/database.js';
import { raw, sql } from '../store/sql.js';

/**
 * Rows of the month lie in the default partition; another process made the partition while this one looked; or somebody reads the whole audit, a
 * backup for instance: the next day is early enough.
 */
const HARMLESS = ['23514', '42P07', '55P03'];

/**
 * Makes the partitions of this month and the next (UTC) where they are missing; run at start and daily. A month whose rows already went to
 * the default partition stays there: rows of the audit are never moved.
 */
export async function ensureAuditPartitions(db: Database): Promise<void> {
  const months = await db.query<{ name: string; start: string; end: string }>(sql`
    select 'audit_event_' || to_char(m, 'YYYYMM') as name, to_char(m, 'YYYY-MM-DD') || 'T00:00:00Z' as start,
           to_char(m + interval '1 month', 'YYYY-MM-DD') || 'T00:00:00Z' as end
    from (select date_trunc('month', now() at time zone 'UTC') + n * interval '1 month' as m from generate_series(0, 1) as n) as month
    where to_regclass('audit_event_' || to_char(m, 'YYYYMM')) is null`);
  for (const month of months) await db.transaction((tx) => makePartition(tx, month)).catch(unlessHarmless);
}

/** Names and bounds come from the database's own clock, so they may stand in the statement, which takes no parameters. */
async function makePartition(tx: Queryable, month: { name: string; start: string; end: string }): Promise<void> {
  // whoever writes to the audit waits behind this lock
  await tx.query(raw("set local lock_timeout = '2s'"));
  await tx.query(
    raw(`create table ${month.name} partition of audit_event for values from ('${month.start}') to ('${month.end}')`),
  );
  // row triggers are inherited, statement triggers are not
  await tx.query(
    raw(`create trigger audit_event_no_truncate before truncate on ${month.name}
         for each statement execute function audit_event_is_append_only()`),
  );
}

function unlessHarmless(error: { code?: string }): void {
  if (!HARMLESS.includes(error.code ?? '')) throw error;
}
