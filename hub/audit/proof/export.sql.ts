import { raw, type Sql, sql } from '../../store/sql.js';

export interface StoredLeaf {
  leaf: number;
  micros: number;
  id: number;
  /** Month of the row, UTC. */
  month: string;
  hash: string;
  json: string | null;
  /** The partition that holds the row. */
  partition: number | null;
}

export interface StoredHead {
  size: number;
  root: Buffer;
  jws: string;
  timestamp: string;
}

const micros = (column: string) => `(extract(epoch from ${column}) * 1000000)::bigint as micros`;

export const leavesWithRows = (from: number, to: number): Sql => sql`
  select l.index as leaf, ${raw(micros('l.recorded'))}, l.event_id as id, to_char(l.recorded, 'YYYY-MM') as month, encode(l.hash, 'hex') as hash,
    row_to_json(a) as json, a.tableoid::bigint as partition
  from audit_leaf l left join audit_event a on a.recorded = l.recorded and a.id = l.event_id
  where l.index >= ${from}::bigint and l.index < ${to}::bigint order by l.index`;

/** Which month each partition is for, by its bounds; the default partition is for any. */
export const monthOfPartitions = raw(`
  select inhrelid::bigint as partition, to_char((regexp_match(pg_get_expr(relpartbound, oid), 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz, 'YYYY-MM') as month
  from pg_inherits join pg_class on oid = inhrelid where inhparent = 'audit_event'::regclass`);

/** Rows by their number alone: their time is not what it was, or they lie where it does not belong. Looks at everything. */
export const rowsByNumber = (ids: readonly number[]): Sql =>
  sql`select a.id, row_to_json(a) as json, a.tableoid::bigint as partition from audit_event a where a.id = any(${ids}::bigint[])`;

const head = raw(`tree_size as size, root, jws, signed::text as timestamp`);
export const newestHead = sql`select ${head} from audit_head order by tree_size desc limit 1`;
/** Heads that end in (from, to]. */
export const headsWithin = (from: number, to: number): Sql =>
  sql`select ${head} from audit_head where tree_size > ${from}::bigint and tree_size <= ${to}::bigint order by tree_size`;
export const headUpTo = (size: number): Sql =>
  sql`select ${head} from audit_head where tree_size <= ${size}::bigint order by tree_size desc limit 1`;
/** A page of heads, newest first. */
export const headsBefore = (size: number, count: number): Sql =>
  sql`select ${head} from audit_head where tree_size < ${size}::bigint order by tree_size desc limit ${count}`;

export const allKeys = raw('select jwk from audit_key order by first_used, kid');
export const allArchives = raw('select month, jws from audit_archive order by month');

/** The fewest leaves in a row that hold all that was recorded from `from` to before `until`; null when nothing was. */
export const leavesOfTime = (from: string, until: string): Sql => sql`
  select min(index) as from, max(index) + 1 as to from audit_leaf where recorded >= ${from}::timestamptz and recorded < ${until}::timestamptz`;

export const leafOfEvent = (micros: number, id: number): Sql => sql`
  select index as leaf, encode(hash, 'hex') as hash from audit_leaf
  where recorded = timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond' and event_id = ${id}::bigint`;

/** A place in the order of the audit; `recorded` as text keeps its microseconds, and infinity. */
export interface Place {
  recorded: string;
  id: number;
}

/** Where a window of `size` rows after `after` ends; nothing when fewer are left up to `until`. */
export const windowEnd = (after: Place, until: string, size: number): Sql => sql`
  select recorded::text as recorded, id from audit_event
  where (recorded, id) > (${after.recorded}::timestamptz, ${after.id}::bigint) and recorded <= ${until}::timestamptz
  order by recorded, id offset ${size - 1} limit 1`;

/** Rows of a window that are in no tree. */
export const unsealedWithin = (after: Place, end: Place): Sql => sql`
  select a.id, ${raw(micros('a.recorded'))}, row_to_json(a) as json from audit_event a
  where (a.recorded, a.id) > (${after.recorded}::timestamptz, ${after.id}::bigint)
    and (a.recorded, a.id) <= (${end.recorded}::timestamptz, ${end.id}::bigint)
    and not exists (select from audit_leaf l where l.recorded = a.recorded and l.event_id = a.id)
  order by a.recorded, a.id`;
