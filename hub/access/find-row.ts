import type { Queryable } from '../store/database.js';
import { columns } from '../store/resources.js';
import { sql } from '../store/sql.js';
import type { RequestAccess, RowWithEvidence } from './decision.js';

/** One current resource with what `access.decide` needs to know about it; undefined when there is none. No policy is applied here. */
export async function findRow(
  tx: Queryable,
  access: RequestAccess,
  type: string,
  id: string,
): Promise<RowWithEvidence | undefined> {
  const [row] = await tx.query<RowWithEvidence>(
    sql`select ${columns}, ${access.evidence} from resource r where r.type = ${type} and r.id = ${id} and not r.deleted`,
  );
  return row;
}
