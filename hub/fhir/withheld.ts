import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { forbiddenIssue } from '../access/denial.js';
import type { Issue } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { columns } from '../store/resources.js';
import { and, type Sql, sql } from '../store/sql.js';
import type { SearchQuery } from './search-query.js';

const MAX_WITHHELD = 50;

/**
 * Studies of the patient asked for that the caller may know of but not read: each becomes an issue with its reason class and what
 * would change the answer, so that a release request can be sent. Only when the search names a patient: nobody trawls.
 */
export async function withheldOf(tx: Queryable, access: RequestAccess, search: SearchQuery, conditions: Sql): Promise<Issue[]> {
  const namesPatient = search.conditions.some((c) => c.kind === 'patient' || c.kind === 'patient-identifier');
  if (search.type !== 'ImagingStudy' || !namesPatient || search.countOnly) return [];
  const rows = await tx.query<RowWithEvidence>(sql`
    select ${columns}, ${access.evidence} from resource r
    where ${and([conditions, access.filter('know', search.type), sql`not ${access.filter('read', search.type)}`])}
    order by r.id limit ${MAX_WITHHELD}`);
  return rows
    .map((row) => ({ row, decision: access.decide('read', row) }))
    .filter(({ decision }) => !decision.allowed && decision.mayKnow)
    .map(({ row, decision }) => forbiddenIssue(row, decision));
}
