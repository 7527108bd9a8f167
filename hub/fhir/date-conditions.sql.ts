import { raw, type Sql, sql } from '../store/sql.js';
import type { DateTest } from './search-conditions.js';

/** R4 3.1.1.4.7 on the resource's half-open range; a resource without the date matches nothing. */
export function rangeSql({ prefix, range }: DateTest): Sql {
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

export function instantSql({ prefix, range }: DateTest): Sql {
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
