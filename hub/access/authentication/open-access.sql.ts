import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';

/** An exceptional access that is open, and whose it is. */
export interface OpenAccess {
  id: string;
  kind: 'break-glass' | 'oversight';
  /** Caller.id of the person. */
  agent: string;
  organization_id: string;
  /** Whole seconds that it stays open, by the database's clock. */
  seconds: number;
}

/** Never cached: a session that was ended is over for the next request. */
export async function findOpenAccess(on: Queryable, id: string): Promise<OpenAccess | undefined> {
  const [row] = await on.query<OpenAccess & Record<string, unknown>>(sql`
    select id, kind, agent, organization_id, floor(extract(epoch from valid_until - now()))::integer as seconds
    from exceptional_access where id = ${id} and ended_at is null and valid_from <= now() and now() < valid_until`);
  return row;
}
