import type { Database, Queryable } from '../store/database.js';
import { raw, sql } from '../store/sql.js';

/**
 * Rows of the month lie in the default partition; another process made the partition while this one looked; or somebody reads the whole audit, a
 * backup for instance: the next day is early enough.
 */
const HARMLESS = ['23514', '42P07', '55P03'];

const PREFIX = 'audit_event_';

/**
 * Makes the partitions of this month and the next (UTC) where they are missing; run at start and daily. A month whose rows already went to
 * the default partition stays there: rows of the audit are never moved.
 */
export async function ensureAuditPartitions(db: Database): Promise<void> {
  const months = await db.query<{ month: string }>(sql`
    select to_char(m, 'YYYYMM') as month
    from (select date_trunc('month', now() at time zone 'UTC') + n * interval '1 month' as m from generate_series(0, 1) as n) as month
    where to_regclass(${PREFIX} || to_char(m, 'YYYYMM')) is null`);
  for (const { month } of months)
    await db
      .transaction(async (tx) => {
        // whoever writes to the audit waits behind this lock
        await tx.query(raw("set local lock_timeout = '2s'"));
        await makeMonth(tx, month);
      })
      .catch(unlessHarmless);
}

/** @returns `YYYYMM` of a partition's name; undefined for the name of any other table */
export const monthOfPartition = (table: string): string | undefined =>
  /^\d{4}(0[1-9]|1[0-2])$/.exec(table.startsWith(PREFIX) ? table.slice(PREFIX.length) : '')?.[0];

/** Makes the partition of a month, `YYYYMM`, UTC: digits alone, so they may stand in the statement, which takes no parameters. */
export async function makeMonth(tx: Queryable, month: string): Promise<void> {
  const [year, number] = [Number(month.slice(0, 4)), Number(month.slice(4))];
  const [start, end] = [number - 1, number].map((at) => new Date(Date.UTC(year, at, 1)).toISOString());
  await tx.query(raw(`create table ${PREFIX}${month} partition of audit_event for values from ('${start}') to ('${end}')`));
  // row triggers are inherited, statement triggers are not
  await tx.query(
    raw(`create trigger audit_event_no_truncate before truncate on ${PREFIX}${month}
         for each statement execute function audit_event_is_append_only()`),
  );
}

function unlessHarmless(error: { code?: string }): void {
  if (!HARMLESS.includes(error.code ?? '')) throw error;
}
