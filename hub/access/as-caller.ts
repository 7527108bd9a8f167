import type { Queryable } from '../store/database.js';
import { type Sql, sql } from '../store/sql.js';
import type { Caller } from './caller.js';
import type { Access } from './access.js';
import type { RequestAccess } from './decision.js';

/** Rows that one statement found under a caller's policy, and that policy. */
export interface FoundAs<Row> {
  access: RequestAccess;
  rows: Row[];
}

/**
 * Runs one statement under the caller's policy, with no other statement before it: the policy is that of remembered facts, and the statement
 * tells of its own snapshot whether they stand. One statement is one snapshot, so no transaction is needed around it.
 * @returns undefined when nothing is remembered or it no longer stands: then the facts are to be read.
 */
export async function asRemembered<Row extends object>(
  on: Queryable,
  access: Access,
  caller: Caller,
  statement: (access: RequestAccess) => Sql,
): Promise<FoundAs<Row> | undefined> {
  const known = access.remembered(caller);
  if (!known) return undefined;
  const rows = await on.query<Row & { is_found: true | null }>(sql`
    select stamp.*, found.* from (select ${known.stamp}) stamp
    left join lateral (select true as is_found, s.* from (${statement(known.access)}) s) found on true`);
  if (!rows[0] || !known.isConfirmedBy(rows[0])) return undefined;
  return { access: known.access, rows: rows.filter((row) => row.is_found) };
}

/** The same with the facts read in a statement of their own; `tx` is a snapshot where both have to be of one instant. */
export async function asCaller<Row extends object>(
  tx: Queryable,
  access: Access,
  caller: Caller,
  statement: (access: RequestAccess) => Sql,
): Promise<FoundAs<Row>> {
  const current = await access.forCaller(tx, caller);
  return { access: current, rows: await tx.query<Row & Record<string, unknown>>(statement(current)) };
}
