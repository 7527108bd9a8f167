import { raw, type Sql, sql } from '../../store/sql.js';
import type { StoredNode } from './stored-tree.js';

/** A row that is to become a leaf. */
export interface UnsealedRow {
  /** The row as row_to_json writes it. */
  json: string;
  id: number;
  micros: number;
  xact: number | null;
}

export interface SealState {
  isOtherCluster: boolean;
  base: number;
  watermark: number;
  sweeping: boolean;
  sweptRecorded: string;
  sweptId: number;
  /** All transactions below it have ended. */
  horizon: number;
  treeSize: number;
}

/** Held by the one process that seals. */
const SEALING = 7390213;

export const lockTree = sql`select pg_advisory_xact_lock(${SEALING})`;
export const tryLockTree = sql`select pg_try_advisory_xact_lock(${SEALING}) as locked`;

/** Times in a row's JSON are in UTC whatever the server's zone; for the rest of the transaction. */
export const inUtc = raw("set local time zone 'UTC'");

export const sealState = raw(`
  select cluster <> (select system_identifier::text from pg_control_system()) as "isOtherCluster", base, watermark, sweeping,
    swept_recorded::text as "sweptRecorded", swept_id as "sweptId", base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon,
    coalesce((select max(index) + 1 from audit_leaf), 0) as "treeSize"
  from audit_seal`);

const columns = raw('row_to_json(a) as json, a.id, (extract(epoch from a.recorded) * 1000000)::bigint as micros, a.xact');
/** Over alias `a`: in no tree. */
export const UNSEALED = 'not exists (select from audit_leaf l where l.recorded = a.recorded and l.event_id = a.id)';
const isUnsealed = raw(UNSEALED);

/** Rows from before the tree or from another cluster, by their place. */
export const unsweptRows = ({ base, sweptRecorded, sweptId }: SealState, limit: number): Sql => sql`
  select ${columns} from audit_event a
  where (a.recorded, a.id) > (${sweptRecorded}::timestamptz, ${sweptId}::bigint) and coalesce(a.xact, 0) <= ${base}::bigint and ${isUnsealed}
  order by a.recorded, a.id limit ${limit}`;

/** Committed rows that are in no tree yet, by the transaction that wrote them. */
export const unsealedRows = ({ base, watermark }: SealState, limit: number): Sql => sql`
  select ${columns} from audit_event a
  where a.xact >= ${watermark}::bigint and a.xact > ${base}::bigint and ${isUnsealed}
  order by a.xact, a.id limit ${limit}`;

/** How many rows wait to be sealed, at most 100,000: the watermark as a value, so that the planner knows how few they are. */
export const countUnsealed = ({ base, watermark, sweeping, sweptRecorded, sweptId }: SealState): Sql => sql`
  select count(*)::int as value from (
    select from audit_event a where ${
      sweeping
        ? sql`(a.recorded, a.id) > (${sweptRecorded}::timestamptz, ${sweptId}::bigint)`
        : sql`a.xact >= ${watermark}::bigint and a.xact > ${base}::bigint`
    } and ${isUnsealed} limit 100000) as waiting`;

export function insertLeaves(first: number, rows: readonly UnsealedRow[], hashes: readonly Buffer[]): Sql {
  return sql`
    insert into audit_leaf (index, recorded, event_id, hash)
    select ${first}::bigint + n - 1, timestamptz 'epoch' + micros * interval '1 microsecond', id, hash
    from unnest(${rows.map((r) => r.micros)}::bigint[], ${rows.map((r) => r.id)}::bigint[], ${[...hashes]}::bytea[]) with ordinality as leaf (micros, id, hash, n)`;
}

export function insertNodes(nodes: readonly StoredNode[]): Sql {
  return sql`
    insert into audit_node (level, index, hash)
    select * from unnest(${nodes.map((n) => n.level)}::smallint[], ${nodes.map((n) => n.index)}::bigint[], ${nodes.map((n) => n.hash)}::bytea[])`;
}

export const setSwept = ({ micros, id }: UnsealedRow): Sql =>
  sql`update audit_seal set swept_recorded = timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond', swept_id = ${id}`;
export const setSweepDone = raw('update audit_seal set sweeping = false');
export const setWatermark = (watermark: number): Sql => sql`update audit_seal set watermark = ${watermark}::bigint`;

/** A writer that waits for this lock plans its insert anew when it has it, with the new default. */
export const lockAudit = raw('lock table audit_event in access exclusive mode');
export const newestXact = raw('select coalesce(max(xact), 0) as newest from audit_event');
/** `base` is a number that the database itself gave; a default takes no parameters. */
export const countFrom = (base: number): Sql =>
  raw(`alter table audit_event alter column xact set default ${Math.trunc(base)} + pg_current_xact_id()::text::bigint`);
export const setBase = (base: number): Sql => sql`
  update audit_seal set cluster = (select system_identifier::text from pg_control_system()), base = ${base}::bigint, watermark = ${base}::bigint,
    sweeping = true, swept_recorded = '-infinity', swept_id = 0`;
