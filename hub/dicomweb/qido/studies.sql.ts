import type { RequestAccess, RowWithEvidence } from '../../access/decision.js';
import { type Shown, shown } from '../../access/shown.js';
import type { Position } from '../../fhir/cursor.js';
import { inPart } from '../../fhir/part-conditions.sql.js';
import type { Condition } from '../../fhir/search-conditions.js';
import { conditionsSql, searched, selectionSql } from '../../fhir/search-conditions.sql.js';
import { countStatement, pageStatement, tableOf } from '../../fhir/search-statement.sql.js';
import type { Queryable } from '../../store/database.js';
import { columns } from '../../store/resources.js';
import { and, or, type Sql, sql } from '../../store/sql.js';
import type { QidoQuery } from './query.js';
import { someSeriesMeets } from './series-keys.sql.js';
import { ofUids, studySelection } from './study-keys.sql.js';

const STUDY = 'ImagingStudy';
/** Newest first, as FHIR search has studies; equal ones by id, so that pages do not overlap. */
const SORT = { column: 'date', descending: true } as const;

type SearchRow = RowWithEvidence & { sort_value: string };

/** The studies that a search is about, under the caller's policy: pages of them, and their number. */
export interface SoughtStudies {
  /** Conditions that FHIR search has too; those that name a patient or study are among them. */
  readonly conditions: readonly Condition[];
  /** @returns what is shown of each; `next` where there are more. */
  page(tx: Queryable, count: number, from: { offset?: number; after?: Position }): Promise<{ shown: Shown[]; next?: Position }>;
  /** Counted no further than `cap + 1`. */
  total(tx: Queryable, cap: number): Promise<number>;
}

/** @param uids Study Instance UIDs among which alone is searched; undefined: among all. */
export function soughtStudies(query: QidoQuery, uids: readonly string[] | undefined, access: RequestAccess): SoughtStudies {
  const ofStudy = query.keys.filter(({ attribute }) => attribute.level === 'study');
  const selection = studySelection(ofStudy, query.fuzzy, access);
  const below = someSeriesMeets(
    query.keys.filter(({ attribute }) => attribute.level !== 'study'),
    access,
  );
  const conditions = [...selection.conditions, ...(uids ? [ofUids(uids)] : [])];
  const custodian = query.custodianId === undefined ? [] : [sql`r.custodian_id = ${query.custodianId}`];
  const { records, left } = searched({ type: STUDY, conditions }, access);
  const indexed = [...selection.indexed, ...custodian];
  const inside = [...selection.inside, ...below.whole];
  const inParts = selection.inPart && [...indexed, ...selection.inPart, ...below.inPart];
  const partial = inParts ? inPart(access, left).map((part) => and([part, ...inParts])) : [];
  const where = or([
    and([conditionsSql(left, access), ...indexed, ...allowedFirst(access.filter('read', STUDY), inside)]),
    ...partial,
  ]);
  return {
    conditions,
    page: async (tx, count, { offset = 0, after }) => {
      const page = pageStatement({ sort: SORT, count }, sql`${columns}, ${access.evidence}`, records, where, after);
      const rows = await tx.query<SearchRow>(sql`${page} offset ${offset}`);
      const last = rows.length > count ? rows[count - 1] : undefined;
      return {
        shown: rows.slice(0, count).flatMap((row) => shown(access, row) ?? []),
        ...(last ? { next: { value: last.sort_value, id: last.id } } : {}),
      };
    },
    total: async (tx, cap) => {
      const counted = searched({ type: STUDY, conditions }, access, tableOf(STUDY)).records;
      const selected: Sql = and([selectionSql(left, access), ...indexed]);
      const ways = access.ways('read', STUDY).map((way) => and([selected, ...allowedFirst(way, inside)]));
      const [row] = await tx.query<{ total: number }>(countStatement(counted, [...ways, ...partial], cap));
      return row?.total ?? 0;
    },
  };
}

/**
 * The policy, and then what looks inside the record. The planner takes the policy for dearer than it is and would look into every record of the region
 * first; `case` is never the cheaper of the two, and what it holds is not looked at where the policy says no.
 */
const allowedFirst = (allowed: Sql, inside: readonly Sql[]): Sql[] =>
  inside.length === 0 ? [allowed] : [allowed, sql`case when ${allowed} then ${and(inside)} else false end`];
