import type { Database } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { exportAudit } from './export.js';
import { Frontier } from './merkle.js';
import { type Verification, type VerifyOptions, verifyExport } from './verify-export.js';

const TILE = 256;
const TILES_AT_ONCE = 20;

/**
 * Checks the database against its signed heads, as an export of all of it would be checked, and the stored nodes besides. Writes nothing.
 * @returns undefined while nothing is sealed yet, and how many stored nodes are wrong
 */
export async function checkDatabase(
  db: Database,
  options: VerifyOptions,
): Promise<{ verification: Verification; wrongNodes: number } | undefined> {
  const chunks = await exportAudit(db, {});
  if (!chunks) return undefined;
  const verification = await verifyExport(chunks, options);
  return { verification, wrongNodes: await countWrongNodes(db, verification.head?.tree_size ?? 0) };
}

/** Nodes prove inclusion and consistency; a wrong one hides nothing, but makes a proof fail. */
async function countWrongNodes(db: Database, size: number): Promise<number> {
  let wrong = 0;
  for (let level = 1, below = size; below >= TILE; level++, below = Math.floor(below / TILE)) {
    const count = Math.floor(below / TILE);
    for (let first = 0; first < count; first += TILES_AT_ONCE)
      wrong += await wrongAmong(db, level, first, Math.min(first + TILES_AT_ONCE, count));
  }
  return wrong;
}

async function wrongAmong(db: Database, level: number, first: number, end: number): Promise<number> {
  const nodes = new Map((await hashes(db, level, first, end)).map(({ index, hash }) => [index, hash]));
  const tiles = Array.from({ length: end - first }, () => new Frontier());
  for (const { index, hash } of await hashes(db, level - 1, first * TILE, end * TILE))
    tiles[Math.floor(index / TILE) - first]?.push(hash);
  return tiles.filter((tile, i) => !nodes.get(first + i)?.equals(tile.root())).length;
}

const hashes = (db: Database, level: number, from: number, to: number) =>
  db.query<{ index: number; hash: Buffer }>(
    level === 0
      ? sql`select index, hash from audit_leaf where index >= ${from}::bigint and index < ${to}::bigint order by index`
      : sql`select index, hash from audit_node where level = ${level} and index >= ${from}::bigint and index < ${to}::bigint order by index`,
  );
