import { type Change, type Connector, SourceError } from '../../connectors/connector.js';
import type { Database } from '../store/database.js';
import { followStudy } from './follow/follow-study.js';
import { indexView } from './follow/index-view.js';
import { dueLooks, endLook, nextLook, putOffLook } from './follow/looks.js';
import { newId } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { createBacklog } from './note-backlog.js';
import type { Origin } from './quarantine.js';
import { type TakeDeps, takeChange } from './take-change.js';

export interface ReadDeps extends TakeDeps {
  /** Told after each step that was committed. */
  onProgress?: (step: { connectorId: string; kind: Change['kind']; held: number }) => void;
  /** Whether this process still has the source to itself. */
  holds: () => boolean;
}

export interface ReadSource {
  connectorId: string;
  custodianId: string;
  connector: Connector;
}

/** How far a source was read, and how many studies and unreadable items that brought. */
export interface Reading {
  cursor?: string;
  changes: number;
  /** Seconds until a study is to be looked at again. */
  lookIn?: number;
}

/**
 * Reads what is new at a source to the end, once. The cursor is stored after the commit of what it covers: whatever happens in between,
 * something is read again and nothing is missed. A source that was reset meanwhile is read again from the beginning.
 * `connector.last_success` becomes the moment at which the reading began: everything that the source had by then is indexed.
 */
export async function readSource(deps: ReadDeps, source: ReadSource, signal: AbortSignal): Promise<Reading> {
  const origin = { custodianId: source.custodianId, connectorId: source.connectorId, requestId: newId() };
  const at = await positionOf(deps.db, source.connectorId);
  const reading: Reading = { cursor: at?.cursor ?? undefined, changes: 0 };
  if (!at) return reading;
  const backlog = createBacklog(deps.db, source, signal);
  await backlog.note(reading.cursor);
  await takeLooks(deps, source, origin, signal);
  const index = indexView(deps.db, source.custodianId, source.connectorId);
  const taking = { ...deps, connector: source.connector };
  for await (const change of source.connector.changes(at.cursor ?? undefined, signal, index)) {
    signal.throwIfAborted();
    if (!deps.holds()) throw new SourceError('unreachable', 'The reading was interrupted.');
    const held = await takeChange(taking, origin, change);
    deps.onProgress?.({ connectorId: source.connectorId, kind: change.kind, held: held.length });
    if (change.kind !== 'checkpoint') reading.changes += 1;
    if (change.cursor === undefined || change.cursor === reading.cursor) continue;
    if (!(await storeCursor(deps.db, source.connectorId, change.cursor, at.reset))) return readSource(deps, source, signal);
    reading.cursor = change.cursor;
    await backlog.note(reading.cursor);
  }
  const done = await deps.db.query(sql`
    update connector set last_success = ${at.began}::timestamptz, last_error = null, backlog = case when ${backlog.isTold()} then 0 end
    where id = ${source.connectorId} and reset = ${at.reset} returning 1`);
  if (done.length === 0) return readSource(deps, source, signal);
  reading.lookIn = await nextLook(deps.db, source.connectorId);
  return reading;
}

/** Looks at the studies that are to be looked at again. One that the source does not tell of waits longer, and keeps no other waiting. */
async function takeLooks(
  deps: ReadDeps,
  { connector, connectorId }: ReadSource,
  origin: Origin,
  signal: AbortSignal,
): Promise<void> {
  for (const look of await dueLooks(deps.db, connectorId)) {
    signal.throwIfAborted();
    try {
      const { studyInstanceUid, confirmed } = look;
      const source = { ...origin, connectorId, connector };
      const seen = connector.look && (await followStudy(deps, source, studyInstanceUid, { confirmed, signal }));
      if (seen?.isSettled ?? true) await endLook(deps.db, connectorId, look);
      else await putOffLook(deps.db, connectorId, look);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      await putOffLook(deps.db, connectorId, look);
    }
    deps.onProgress?.({ connectorId, kind: 'removed', held: 0 });
  }
}

interface Position {
  cursor: string | null;
  /** How often the source was told to be read from the beginning. */
  reset: number;
  /** The database's time, with its microseconds. */
  began: string;
}

async function positionOf(db: Database, connectorId: string): Promise<Position | undefined> {
  const [row] = await db.query<Position & Record<string, unknown>>(
    sql`select cursor, reset, clock_timestamp()::text as began from connector where id = ${connectorId} and enabled`,
  );
  return row;
}

async function storeCursor(db: Database, connectorId: string, cursor: string, reset: number): Promise<boolean> {
  const rows = await db.query(
    sql`update connector set cursor = ${cursor} where id = ${connectorId} and reset = ${reset} and enabled returning 1`,
  );
  return rows.length > 0;
}

/**
 * Notes why a source could not be read, at the moment at which the reading began. What a source says of itself is for its administrator; a defect of the
 * hub is only named. @param ms since the reading began.
 */
export async function noteFailure(db: Database, connectorId: string, error: unknown, ms: number): Promise<void> {
  const said =
    error instanceof SourceError ? `${error.code}: ${error.message}` : 'internal: the hub could not take what the source gave';
  await db.query(sql`
    update connector set last_error = ${said.slice(0, 500)}, last_error_at = clock_timestamp() - make_interval(secs => ${ms / 1000}), backlog = null
    where id = ${connectorId}`);
}
