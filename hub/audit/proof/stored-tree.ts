import type { Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import { Frontier, type HashOf, type Subtree, subtreesOf } from './merkle.js';

/** Levels of the binary tree in one tile: a tile holds 256 hashes. */
const TILE_HEIGHT = 8;
const TILE = 2 ** TILE_HEIGHT;

/** Hashes of the stored tree. One tile is one read; those that were read are kept for as long as the function is. */
export function storedTree(tx: Queryable): HashOf {
  const tiles = new Map<string, Promise<Map<number, Buffer>>>();
  return async ({ height, index }: Subtree): Promise<Buffer> => {
    const level = Math.floor(height / TILE_HEIGHT);
    const width = 2 ** (height % TILE_HEIGHT);
    const first = index * width;
    const at = Math.floor(first / TILE);
    const key = `${level}.${at}`;
    const tile = await (tiles.get(key) ?? keep(tiles, key, readTile(tx, level, at)));
    const subtree = new Frontier();
    for (let i = first; i < first + width; i++) {
      const hash = tile.get(i);
      if (!hash) throw new Error(`the tree of the audit lacks node ${i} of level ${level}`);
      subtree.push(hash);
    }
    return subtree.root();
  };
}

function keep<V>(map: Map<string, V>, key: string, value: V): V {
  map.set(key, value);
  return value;
}

async function readTile(tx: Queryable, level: number, at: number): Promise<Map<number, Buffer>> {
  const [from, to] = [at * TILE, (at + 1) * TILE];
  const source: Sql = level === 0 ? raw('audit_leaf where') : sql`audit_node where level = ${level} and`;
  const rows = await tx.query<{ index: number; hash: Buffer }>(
    sql`select index, hash from ${source} index >= ${from}::bigint and index < ${to}::bigint`,
  );
  return new Map(rows.map(({ index, hash }) => [index, hash]));
}

/** A node that is stored because a tile above begins with it. */
export interface StoredNode {
  level: number;
  index: number;
  hash: Buffer;
}

/** The edge of the stored tree at `size`; `nodes` takes what has to be stored as leaves are added. */
export async function storedFrontier(tx: Queryable, size: number, nodes: StoredNode[] = []): Promise<Frontier> {
  const hashOf = storedTree(tx);
  const peaks: Buffer[] = [];
  for (const subtree of subtreesOf(0, size)) peaks.push(await hashOf(subtree));
  return new Frontier(size, peaks, ({ height, index }, hash) => {
    if (height > 0 && height % TILE_HEIGHT === 0) nodes.push({ level: height / TILE_HEIGHT, index, hash });
  });
}
