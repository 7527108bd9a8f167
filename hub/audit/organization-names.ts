import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { AuditRow } from './rows.js';

/** What the organizations in these rows are called, by id. Their names are in the directory, which everybody reads. */
export async function organizationNames(on: Queryable, rows: readonly AuditRow[]): Promise<Map<string, string>> {
  const ids = [...new Set(rows.flatMap((row) => [row.organization_id, row.custodian_id]).filter(Boolean))];
  if (ids.length === 0) return new Map();
  const found = await on.query<{ id: string; name: string }>(
    sql`select id, name from organization where id = any(${ids}::text[])`,
  );
  return new Map(found.map(({ id, name }) => [id, name]));
}
