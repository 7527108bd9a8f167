import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { forbiddenIssue } from '../access/denial.js';
import { shown, visible } from '../access/shown.js';
import type { Issue } from '../outcomes.js';
import { columns } from '../store/resources.js';
import { and, type Sql, sql } from '../store/sql.js';
import type { Condition } from './search-conditions.js';
import type { SearchQuery } from './search-query.js';
import { searched, selectionSql } from './search-conditions.sql.js';

const MAX_WITHHELD = 50;

/** Conditions that say whose record and which, and nothing of its content. */
const NAMING: ReadonlySet<string> = new Set(['patient', 'patient-identifier', 'id']);

/**
 * Studies of the patient asked for that the caller may know of but not read: each becomes an issue with its reason class and what
 * would change the answer, so that a release request can be sent. Only when the search names a patient: nobody trawls. They are the same
 * whatever else is searched for: a study that came and went with a condition would tell its content.
 */
export function withheldStatement(access: RequestAccess, { type, conditions }: SearchQuery): Sql | undefined {
  const naming = conditions.filter((c) => NAMING.has(c.kind));
  const namesPatient = naming.some((c) => c.kind !== 'id');
  return type === STUDY && namesPatient ? withheldAmong(access, naming) : undefined;
}

const STUDY = 'ImagingStudy';

/** Studies that these conditions name, which the caller may know of and not read. */
export function withheldAmong(access: RequestAccess, naming: readonly Condition[]): Sql {
  const { records, left } = searched({ type: STUDY, conditions: naming }, access);
  const [know, read] = [access.filter('know', STUDY), visible(access, STUDY)];
  return sql`
    select ${columns}, ${access.evidence}, '' as sort_value, row_number() over (order by r.id) as place from ${records}
    where ${and([selectionSql(left, access), know, sql`not ${read}`])}
    order by r.id limit ${MAX_WITHHELD}`;
}

/** A record that is withheld, and what the caller is told. */
export interface Withheld {
  row: RowWithEvidence;
  decision: Decision;
  issue: Issue;
}

export function withheldOf(access: RequestAccess, rows: readonly RowWithEvidence[]): Withheld[] {
  return rows
    .filter((row) => !shown(access, row))
    .map((row) => ({ row, decision: access.decide('read', row) }))
    .filter(({ decision }) => !decision.allowed && decision.mayKnow)
    .map(({ row, decision }) => ({ row, decision, issue: forbiddenIssue(row, decision) }));
}
