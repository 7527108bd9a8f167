import { setImmediate as turn } from 'node:timers/promises';
import type { SigningKey } from '../../access/authentication/signing-key.js';
import type { Database, Queryable } from '../../store/database.js';
import { raw, sql } from '../../store/sql.js';
import { leafOfRow } from './leaf.js';
import { countOn } from './restored.js';
import * as statement from './seal.sql.js';
import { type StoredNode, storedFrontier } from './stored-tree.js';
import { NOW, sign, type TreeHead } from './tree-head.js';

export interface SealOptions {
  /** Most rows of one batch, which is one transaction and one head. */
  limit?: number;
  /** Waits while another process seals; otherwise leaves it to that one. */
  wait?: boolean;
}

/**
 * Takes committed rows that are in no tree into it, in one transaction: leaves, nodes, a signed head, and how far it reaches. A process
 * that is killed leaves nothing behind, and the next takes the same rows. Rows come in the order of the transactions that wrote them; one whose
 * transaction commits late comes later, and is never passed over: the watermark stays below every transaction that was under way.
 * @returns how many rows, and whether more wait; undefined when another process is at it.
 */
export async function sealBatch(
  db: Database,
  key: SigningKey,
  { limit = 10_000, wait = false }: SealOptions = {},
): Promise<{ rows: number; more: boolean } | undefined> {
  return db.transaction(async (tx) => {
    if (!(await lock(tx, wait))) return undefined;
    await tx.query(statement.inUtc);
    // read before the rows: a transaction below the horizon had ended by then, so its rows are seen
    const state = await currentState(tx);
    const rows = await tx.query<statement.UnsealedRow>(
      state.sweeping ? statement.unsweptRows(state, limit) : statement.unsealedRows(state, limit),
    );
    if (rows.length > 0) await extend(tx, key, state, rows);
    const isFull = rows.length === limit;
    await remember(tx, state, rows, isFull);
    return { rows: rows.length, more: isFull || state.sweeping };
  });
}

/** Seals until nothing waits, or `until` (performance.now()) has passed. @returns the number of rows. */
export async function sealAll(db: Database, key: SigningKey, options: SealOptions & { until?: number } = {}): Promise<number> {
  let rows = 0;
  for (;;) {
    const batch = await sealBatch(db, key, options);
    rows += batch?.rows ?? 0;
    if (!batch?.more || performance.now() > (options.until ?? Number.POSITIVE_INFINITY)) return rows;
  }
}

/** Rows that wait to be sealed, as far as 100,000. */
export async function unsealedRows(on: Queryable): Promise<{ value: number }[]> {
  const [state] = await on.query<statement.SealState>(statement.sealState);
  return state ? on.query<{ value: number }>(statement.countUnsealed(state)) : [];
}

async function lock(tx: Queryable, wait: boolean): Promise<boolean> {
  if (!wait) return (await tx.query<{ locked: boolean }>(statement.tryLockTree))[0]?.locked ?? false;
  await tx.query(statement.lockTree);
  return true;
}

/** A database that was restored into another cluster counts on from the transaction ids that its rows hold, and all its rows are looked at once. */
async function currentState(tx: Queryable): Promise<statement.SealState> {
  const [state] = await tx.query<statement.SealState>(statement.sealState);
  if (!state) throw new Error('audit_seal is empty');
  if (!state.isOtherCluster) return state;
  await tx.query(raw("set local lock_timeout = '5s'"));
  await countOn(tx);
  const [moved] = (await tx.query<statement.SealState>(statement.sealState)) as [statement.SealState];
  return moved;
}

async function extend(
  tx: Queryable,
  key: SigningKey,
  { treeSize, sweeping }: statement.SealState,
  rows: readonly statement.UnsealedRow[],
): Promise<void> {
  const nodes: StoredNode[] = [];
  const tree = await storedFrontier(tx, treeSize, nodes);
  const hashes: Buffer[] = [];
  for (const row of rows) {
    const hash = leafOfRow(JSON.parse(row.json));
    hashes.push(hash);
    tree.push(hash);
    if (hashes.length % 128 === 0) await turn(); // requests come before
  }
  await tx.query(statement.insertLeaves(treeSize, rows, hashes));
  if (nodes.length > 0) await tx.query(statement.insertNodes(nodes));
  const [{ timestamp }] = (await tx.query<{ timestamp: string }>(raw(`select ${NOW} as timestamp`))) as [{ timestamp: string }];
  const root = tree.root();
  const head: TreeHead = {
    tree_size: tree.size,
    root_hash: root.toString('hex'),
    timestamp,
    ...(sweeping ? { swept: true } : {}),
  };
  await tx.query(sql`
    insert into audit_head (tree_size, root, signed, kid, jws)
    values (${tree.size}::bigint, ${root}, ${timestamp}::timestamptz, ${key.kid}, ${await sign(key, 'audit-tree-head', head)})`);
}

async function remember(
  tx: Queryable,
  state: statement.SealState,
  rows: readonly statement.UnsealedRow[],
  isFull: boolean,
): Promise<void> {
  const last = rows.at(-1);
  if (state.sweeping) {
    if (last) await tx.query(statement.setSwept(last));
    if (!isFull) await tx.query(statement.setSweepDone);
    return;
  }
  const watermark = isFull ? Math.min(state.horizon, last?.xact ?? 0) : state.horizon;
  if (watermark > state.watermark) await tx.query(statement.setWatermark(watermark));
}
