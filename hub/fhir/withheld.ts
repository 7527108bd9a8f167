import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { forbiddenIssue } from '../access/denial.js';
import type { Issue } from '../outcomes.js';
import { columns } from '../store/resources.js';
import { and, type Sql, sql } from '../store/sql.js';
import type { SearchQuery } from './search-query.js';
import { conditionsSql } from './search-statement.sql.js';

const MAX_WITHHELD = 50;

/**
 * Studies of the patient asked for that the caller may know of but not read: each becomes an issue with its reason class and what
 * would change the answer, so that a release request can be sent. Only when the search names a patient: nobody trawls.
 */
export function withheldStatement(access: RequestAccess, search: SearchQuery): Sql | undefined {
  const namesPatient = search.conditions.some((c) => c.kind === 'patient' || c.kind === 'patient-identifier');
  if (search.type !== 'ImagingStudy' || !namesPatient) return undefined;
  const [know, read] = [access.filter('know', search.type), access.filter('read', search.type)];
  return sql`
    select ${columns}, ${access.evidence}, '' as sort_value, row_number() over (order by r.id) as place from resource r
    where ${and([conditionsSql(search, access), know, sql`not ${read}`])}
    order by r.id limit ${MAX_WITHHELD}`;
}

export function withheldIssues(access: RequestAccess, rows: readonly RowWithEvidence[]): Issue[] {
  return rows
    .map((row) => ({ row, decision: access.decide('read', row) }))
    .filter(({ decision }) => !decision.allowed && decision.mayKnow)
    .map(({ row, decision }) => forbiddenIssue(row, decision));
}
