import type { Database, Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { AuditPosition } from '../rows.js';
import * as statement from './export.sql.js';
import { consistencyPath, inclusionPath } from './merkle.js';
import { inUtc } from './seal.sql.js';
import { storedTree } from './stored-tree.js';

const hex = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('hex'));

export const latestHead = async (on: Queryable): Promise<statement.StoredHead | undefined> =>
  (await on.query<statement.StoredHead>(statement.newestHead))[0];

/** The path from one event's leaf to the newest head, and the row as it is stored now. @returns undefined for one that is not in the tree */
export function proveInclusion(db: Database, at: AuditPosition) {
  return db.snapshot(async (tx) => {
    await tx.query(inUtc);
    const head = await latestHead(tx);
    const [found] = await tx.query<{ leaf: number; hash: string }>(statement.leafOfEvent(at.micros, at.id));
    if (!found || !head) return undefined;
    const [stored] = await tx.query<{ json: string }>(sql`
      select row_to_json(a) as json from audit_event a
      where recorded = timestamptz 'epoch' + ${at.micros}::bigint * interval '1 microsecond' and id = ${at.id}::bigint`);
    const row = stored ? (JSON.parse(stored.json) as Record<string, unknown>) : null;
    return { ...found, row, head, path: hex(await inclusionPath(storedTree(tx), found.leaf, head.size)) };
  });
}

/** That the tree of `from` leaves is the beginning of that of `to`; both are covered by a head. */
export async function proveConsistency(db: Database, from: number, to: number): Promise<string[]> {
  return db.snapshot(async (tx) => hex(await consistencyPath(storedTree(tx), from, to)));
}
