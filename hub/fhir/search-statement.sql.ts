import type { RequestAccess } from '../access/decision.js';
import { tokenKey } from '../store/search-keys.js';
import { and, oneOf, or, raw, type Sql, sql } from '../store/sql.js';
import type { Position } from './cursor.js';
import { ofPatients, type PatientCondition } from './patient-conditions.js';
import type { Condition, DateTest, SearchQuery, Sort } from './search-query.js';
import { typeLiteral } from './types.js';

const UNKNOWN_DATE = raw("'-infinity'::timestamptz");

/** Column that a search is sorted by; unknown dates come last in descending order. The expression is the one that is indexed. */
export function sortExpression(sort: Sort): Sql {
  if (sort.column === 'id') return raw('r.id');
  if (sort.column === 'last_updated') return raw('r.last_updated');
  return sql`coalesce(r.date_from, ${UNKNOWN_DATE})`;
}

/**
 * One page: rows of alias `r` that meet the conditions and the policy, in order, one more than asked to see whether there is a next page.
 * `place` is the order: rows of a statement around this one have none of their own.
 */
export function pageStatement(search: SearchQuery, columns: Sql, where: Sql, after: Position | undefined): Sql {
  const key = sortExpression(search.sort);
  const order = sql`${key} ${raw(search.sort.descending ? 'desc' : 'asc')}, r.id asc`;
  return sql`
    select ${columns}, ${key}::text as sort_value, row_number() over (order by ${order}) as place
    from resource r
    where ${where} ${after ? sql`and ${beyond(search.sort, key, after)}` : raw('')}
    order by ${order}
    limit ${search.count + 1}`;
}

/** Rows after a position, written so that the index serves the order. */
function beyond(sort: Sort, key: Sql, after: Position): Sql {
  if (sort.column === 'id') return sort.descending ? sql`r.id < ${after.id}` : sql`r.id > ${after.id}`;
  const value = sql`${after.value}::timestamptz`;
  const strictly = sort.descending ? sql`${key} < ${value}` : sql`${key} > ${value}`;
  const orEqual = sort.descending ? sql`${key} <= ${value}` : sql`${key} >= ${value}`;
  return sql`${orEqual} and (${strictly} or r.id > ${after.id})`;
}

/** Number of matching rows, counted no further than `cap + 1`. */
export function countStatement(where: Sql, cap: number): Sql {
  return sql`select count(*) as total from (select 1 from resource r where ${where} limit ${cap + 1}) counted`;
}

/** The conditions of a search on alias `r`. */
export function conditionsSql(search: SearchQuery, access: RequestAccess): Sql {
  const parts = search.conditions.map((c) =>
    c.kind === 'patient' || c.kind === 'patient-identifier' ? ofPatients(access, c) : conditionSql(search.type, c),
  );
  return and([sql`r.type = ${typeLiteral(search.type)}`, raw('not r.deleted'), ...parts]);
}

function conditionSql(type: string, c: Exclude<Condition, PatientCondition>): Sql {
  switch (c.kind) {
    case 'id':
      return oneOf(raw('r.id'), c.ids);
    case 'token':
      return sql`r.tokens ${raw(c.keys.length === 1 ? '@>' : '&&')} ${c.keys.map(tokenKey)}::text[]`;
    case 'name':
      return sql`r.id in (select w.id from name_word w where w.type = ${type} and (${or(c.prefixes.map((p) => sql`w.word like ${`${likeLiteral(p)}%`}`))}))`;
    case 'date':
      return or(c.alternatives.map((test) => (c.column === 'last_updated' ? instantSql(test) : rangeSql(test))));
  }
}

const likeLiteral = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

/** R4 3.1.1.4.7 on the resource's half-open range; a resource without the date matches nothing. */
function rangeSql({ prefix, range }: DateTest): Sql {
  const from = raw("coalesce(r.date_from, '-infinity')");
  const until = raw("coalesce(r.date_until, 'infinity')");
  const has = raw('(r.date_from is not null or r.date_until is not null)');
  const within = sql`${from} >= ${range.from} and ${until} <= ${range.until}`;
  switch (prefix) {
    case 'eq':
      return sql`(r.date_from >= ${range.from} and r.date_until <= ${range.until})`;
    case 'ne':
      return sql`(${has} and not (${within}))`;
    case 'gt':
      return sql`(${has} and ${until} > ${range.until})`;
    case 'lt':
      return sql`(${has} and ${from} < ${range.from})`;
    case 'ge':
      return sql`(${has} and (${until} > ${range.until} or (${within})))`;
    case 'le':
      return sql`(${has} and (${from} < ${range.from} or (${within})))`;
    case 'sa':
      return sql`(${has} and ${from} >= ${range.until})`;
    case 'eb':
      return sql`(${has} and ${until} <= ${range.from})`;
    case 'ap':
      return approximate(from, until, has, range);
  }
}

/** `ap`: overlaps the value widened by a tenth of its distance from now. */
function approximate(from: Sql, until: Sql, has: Sql, range: DateTest['range']): Sql {
  const margin = sql`(greatest(now() - ${range.from}::timestamptz, ${range.from}::timestamptz - now()) * 0.1)`;
  return sql`(${has} and ${from} < ${range.until}::timestamptz + ${margin} and ${until} > ${range.from}::timestamptz - ${margin})`;
}

function instantSql({ prefix, range }: DateTest): Sql {
  switch (prefix) {
    case 'ne':
      return sql`(r.last_updated < ${range.from} or r.last_updated >= ${range.until})`;
    case 'gt':
    case 'sa':
      return sql`(r.last_updated >= ${range.until})`;
    case 'lt':
    case 'eb':
      return sql`(r.last_updated < ${range.from})`;
    case 'ge':
      return sql`(r.last_updated >= ${range.from})`;
    case 'le':
      return sql`(r.last_updated < ${range.until})`;
    default:
      return sql`(r.last_updated >= ${range.from} and r.last_updated < ${range.until})`;
  }
}
