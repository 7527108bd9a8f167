import type { JWK } from 'jose';
import type { Database, Queryable } from '../../store/database.js';
import { auditEventId } from '../rows.js';
import * as statement from './export.sql.js';
import { type ExportHeader, FORMAT } from './export-format.js';
import { consistencyPath, subtreesOf } from './merkle.js';
import { inUtc } from './seal.sql.js';
import { storedTree } from './stored-tree.js';

export interface ExportRange {
  /** First leaf. Default: 0. */
  from?: number;
  /** First leaf that is not wanted. Default: all that the newest head covers. */
  to?: number;
  /** Sizes of trees, witnessed outside, that the export shall show to be its beginnings. */
  witnessed?: readonly number[];
}

const LEAVES_AT_ONCE = 2000;
const ROWS_AT_ONCE = 20_000;
/** Looks at the whole audit for a row that is not in its place; a database in which more is amiss is not searched for each. */
const MOST_SEARCHES = 20;
const MOST_UNSEALED = 10_000;

/**
 * The export as text, some lines at a time; memory does not grow with it. Leaves below a signed head never change, so no snapshot is held.
 * @returns undefined while nothing is sealed yet. @throws RangeError for a range that the newest head does not cover.
 */
export async function exportAudit(db: Database, range: ExportRange = {}): Promise<AsyncGenerator<string> | undefined> {
  const [head] = await db.query<statement.StoredHead>(statement.newestHead);
  if (!head) return undefined;
  const { from = 0, to = head.size } = range;
  if (!(from >= 0 && from <= to && to <= head.size)) throw new RangeError(`the tree has ${head.size} leaves`);
  const archives = await db.query<{ month: string; jws: string }>(statement.allArchives);
  const header = await db.snapshot((tx) => headerOf(tx, head, from, to, archives, range.witnessed ?? []));
  return lines(db, header, head, new Set(archives.map((a) => a.month)));
}

async function headerOf(
  tx: Queryable,
  head: statement.StoredHead,
  from: number,
  to: number,
  archives: readonly { jws: string }[],
  witnessed: readonly number[],
): Promise<ExportHeader> {
  const [before] = await tx.query<statement.StoredHead>(statement.headUpTo(from));
  const tree = storedTree(tx);
  const consistency: ExportHeader['consistency'] = [];
  for (const size of witnessed.filter((s) => s > 0 && s <= head.size))
    consistency.push({ size, path: (await consistencyPath(tree, size, head.size)).map(hex) });
  return {
    format: FORMAT,
    from,
    to,
    head: head.jws,
    keys: { keys: await publicKeys(tx) },
    left: await edge(tx, 0, from),
    ...(before ? { before: before.jws } : {}),
    archives: archives.map((a) => a.jws),
    consistency,
  };
}

/** Every key that ever signed a head here. */
export async function publicKeys(tx: Queryable): Promise<JWK[]> {
  return (await tx.query<{ jwk: JWK }>(statement.allKeys)).map(({ jwk }) => jwk);
}

const hex = (hash: Buffer): string => hash.toString('hex');

async function edge(tx: Queryable, from: number, to: number): Promise<string[]> {
  const tree = storedTree(tx);
  const hashes: string[] = [];
  for (const subtree of subtreesOf(from, to)) hashes.push(hex(await tree(subtree)));
  return hashes;
}

async function* lines(
  db: Database,
  header: ExportHeader,
  head: statement.StoredHead,
  archived: ReadonlySet<string>,
): AsyncGenerator<string> {
  yield line(header);
  const search = searcher();
  const months = await monthsOfPartitions(db);
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let at = header.from; at < header.to; at += LEAVES_AT_ONCE) {
    const end = Math.min(at + LEAVES_AT_ONCE, header.to);
    const { leaves, heads, strays } = await db.snapshot(async (tx) => {
      await tx.query(inUtc);
      const found = await tx.query<statement.StoredLeaf>(statement.leavesWithRows(at, end));
      return {
        leaves: found,
        heads: await tx.query<statement.StoredHead>(statement.headsWithin(at, end)),
        strays: await search(
          tx,
          found.filter((l) => l.json === null && !archived.has(l.month)),
        ),
      };
    });
    for (const { micros } of leaves) [first, last] = [Math.min(first, micros), Math.max(last, micros)];
    yield interleaved(leaves, heads, (leaf) => leafLine(leaf, archived, strays, months));
  }
  const isWhole = header.from === 0 && header.to === head.size;
  let unsealed = 0;
  for await (const some of unsealedRows(db, isWhole ? '-infinity' : instant(first), isWhole ? head.timestamp : instant(last))) {
    unsealed += some.length;
    yield some.join('');
    if (unsealed > MOST_UNSEALED) break;
  }
  yield line({ end: { right: await edge(db, header.to, head.size), unsealed } });
}

const line = (value: object): string => `${JSON.stringify(value)}\n`;

/** Microseconds as PostgreSQL reads a time; infinity where there was no row. */
function instant(micros: number): string {
  if (!Number.isFinite(micros)) return micros > 0 ? 'infinity' : '-infinity';
  const seconds = Math.floor(micros / 1e6);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(micros - seconds * 1e6).padStart(6, '0')}Z`;
}

/** Each head after its last leaf; one whose last leaf is missing before the next that there is. */
function interleaved(
  leaves: readonly statement.StoredLeaf[],
  heads: readonly statement.StoredHead[],
  write: (leaf: statement.StoredLeaf) => string,
): string {
  const parts: string[] = [];
  let next = 0;
  const headsUpTo = (leaf: number): void => {
    for (; next < heads.length && heads[next]!.size <= leaf; next++) parts.push(line({ head: heads[next]!.jws }));
  };
  for (const leaf of leaves) {
    headsUpTo(leaf.leaf);
    parts.push(write(leaf));
  }
  headsUpTo(Number.POSITIVE_INFINITY);
  return parts.join('');
}

/** The row is spliced in as the database wrote it: it is neither parsed nor written again. */
function leafLine(
  leaf: statement.StoredLeaf,
  archived: ReadonlySet<string>,
  strays: ReadonlyMap<number, Stray>,
  months: ReadonlyMap<number, string>,
): string {
  const { json, partition } = leaf.json === null ? (strays.get(leaf.id) ?? leaf) : leaf;
  const begin = `{"leaf":${leaf.leaf},"event":"${auditEventId(leaf)}","hash":"${leaf.hash}"`;
  if (json === null && archived.has(leaf.month)) return `${begin},"archived":"${leaf.month}"}\n`;
  const month = months.get(partition ?? 0) ?? leaf.month;
  return `${begin},"row":${json}${month === leaf.month ? '' : `,"liesIn":"${month}"`}}\n`;
}

async function monthsOfPartitions(db: Database): Promise<ReadonlyMap<number, string>> {
  const rows = await db.snapshot(async (tx) => {
    await tx.query(inUtc);
    return tx.query<{ partition: number; month: string | null }>(statement.monthOfPartitions);
  });
  return new Map(rows.flatMap(({ partition, month }) => (month ? [[partition, month]] : [])));
}

/** SQLSTATE query_canceled: the statement took too long. The row is then told as missing, which it is where it belongs. */
function unlessTooLong(error: { code?: string }): [] {
  if (error.code === '57014') return [];
  throw error;
}

type Stray = Pick<statement.StoredLeaf, 'json' | 'partition'>;

function searcher() {
  let left = MOST_SEARCHES;
  return async (tx: Queryable, missing: readonly statement.StoredLeaf[]): Promise<ReadonlyMap<number, Stray>> => {
    if (missing.length === 0 || left-- <= 0) return new Map();
    const rows = await tx.query<Stray & { id: number }>(statement.rowsByNumber(missing.map((l) => l.id))).catch(unlessTooLong);
    return new Map(rows.map((row) => [row.id, row]));
  };
}

/** Rows in no tree that were recorded in [from, until], window by window. */
async function* unsealedRows(db: Database, from: string, until: string): AsyncGenerator<string[]> {
  for (let after: statement.Place | undefined = { recorded: from, id: -1 }; after; ) {
    const start: statement.Place = after;
    const { rows, end } = await db.snapshot(async (tx) => {
      await tx.query(inUtc);
      const [boundary] = await tx.query<statement.Place>(statement.windowEnd(start, until, ROWS_AT_ONCE));
      const upTo = boundary ?? { recorded: until, id: Number.MAX_SAFE_INTEGER };
      const found = await tx.query<{ id: number; micros: number; json: string }>(statement.unsealedWithin(start, upTo));
      return { rows: found, end: boundary };
    });
    yield rows.map((row) => `{"unsealed":"${auditEventId(row)}","row":${row.json}}\n`);
    after = end;
  }
}
