import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connector, SourceError } from '../../connectors/connector.js';
import { notFound } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';
import { askForLooks } from './follow/looks.js';
import type { SourceRecord } from './open-source.js';
import { createSourceLocks, SOURCE_CHANGED, type SourceLocks } from './source-locks.js';
import { type SourceDeps, type Watched, watchSource } from './watch-source.js';

export type { SourceDeps } from './watch-source.js';

/** The hospitals' sources as this process has them open, and the reading of those that no other process reads. */
export interface Sources {
  /** The open connector of a source, for retrieval; undefined when there is none or its settings can't be used. */
  connectorFor(connectorId: string): Connector | undefined;
  /** Has a source read from the beginning, by whichever process reads it. @throws Refusal 404 when there is none. */
  reindex(connectorId: string): Promise<void>;
  /** The source says by its token that something changed in it: whichever process reads it does so at once. @returns false when it is not its token. */
  announced(connectorId: string, token: string): Promise<boolean>;
  /** Resolves when every enabled source was read to its end, or failed, in a reading that began after this call. */
  idle(): Promise<void>;
  /** Lets what is being stored be stored, then closes the connectors. */
  stop(): Promise<void>;
}

/** Seconds between two looks for sources that were added, changed or disabled. */
const REGISTRY_SECONDS = 2;
/** How long sources that close are waited for before the others are looked at, ms. */
const CLOSING_MS = 500;

/** Reads all sources, each at its own pace: one hospital's trouble never stops another's reading. */
export function startSources(deps: SourceDeps): Sources {
  const watched = new Map<string, Watched>();
  const locks = createSourceLocks(deps.db.pool.options, (connectorId) => watched.get(connectorId)?.wake());
  const stopping = new AbortController();
  let looking: Promise<void> = Promise.resolve();
  const closing = new Map<string, Promise<void>>();
  const look = (): Promise<void> => {
    // One that failed, when the database was away, stops no later one.
    looking = looking
      .catch(() => undefined)
      .then(() => (stopping.signal.aborted ? undefined : lookForSources(deps, locks, watched, closing)));
    return looking;
  };
  const lookAgain = (): Promise<void> =>
    look().catch((error) => deps.log.error({ code: error.code ?? error.name }, 'sources not looked up'));
  const wakeEverywhere = (connectorId: string) => deps.db.query(sql`select pg_notify(${SOURCE_CHANGED}, ${connectorId})`);
  const missed = async (connectorId: string, studyInstanceUid: string): Promise<void> => {
    await askForLooks(deps.db, connectorId, [studyInstanceUid]);
    await wakeEverywhere(connectorId);
  };
  const registry = every(REGISTRY_SECONDS, lookAgain, stopping.signal);
  return {
    connectorFor: (connectorId) => {
      const connector = watched.get(connectorId)?.connector;
      return connector && reportingMissing(connector, (uid) => missed(connectorId, uid));
    },
    reindex: async (connectorId) => {
      const rows = await deps.db.query(
        sql`update connector set cursor = null, reset = reset + 1 where id = ${connectorId} returning 1`,
      );
      if (rows.length === 0) throw notFound();
      await wakeEverywhere(connectorId);
    },
    announced: async (connectorId, token) => {
      const source = watched.get(connectorId);
      if (!source?.isAnnouncedBy(token)) return false;
      if (locks.holds(connectorId)) source.wake();
      else await wakeEverywhere(connectorId);
      return true;
    },
    idle: async () => {
      const [now] = await deps.db.query<{ at: string }>(sql`select clock_timestamp()::text as at`);
      do {
        await look();
        for (const id of await unread(deps.db, now?.at ?? '')) watched.get(id)?.wake();
        await sleep(50);
      } while (!stopping.signal.aborted && (await unread(deps.db, now?.at ?? '')).length > 0);
    },
    stop: async () => {
      stopping.abort();
      await registry;
      await looking.catch(() => undefined);
      await Promise.all([...closing.values(), ...[...watched.values()].map((source) => source.stop())]);
      await locks.close();
    },
  };
}

/** What an archive does not have when it is asked for it may be gone: it is looked at, whichever process reads the source. */
function reportingMissing(connector: Connector, missed: (studyInstanceUid: string) => Promise<void>): Connector {
  return {
    ...connector,
    retrieve: async (request, signal) => {
      try {
        return await connector.retrieve(request, signal);
      } catch (error) {
        const isMissing = error instanceof SourceError && (error.code === 'not-found' || error.code === 'bad-response');
        if (isMissing) await missed(request.studyInstanceUid).catch(() => undefined);
        throw error;
      }
    },
  };
}

/** Enabled sources that were neither read nor failed since. */
async function unread(db: Database, since: string): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql`
    select id from connector where enabled and coalesce(greatest(last_success, last_error_at), '-infinity') < ${since}::timestamptz`);
  return rows.map((row) => row.id);
}

/**
 * Opens sources that are new, anew those that were changed, and closes those that are gone. One that is slow to close, because its folder hangs say,
 * keeps nobody else waiting; it is opened anew when it is closed.
 */
async function lookForSources(
  deps: SourceDeps,
  locks: SourceLocks,
  watched: Map<string, Watched>,
  closing: Map<string, Promise<void>>,
): Promise<void> {
  const records = await deps.db.query<SourceRecord & Record<string, unknown>>(
    sql`select id, organization_id, kind, settings, secrets from connector where enabled order by id`,
  );
  const current = new Map(records.map((record) => [record.id, record]));
  for (const [id, source] of watched) {
    if (isDeepStrictEqual(source.record, current.get(id))) continue;
    watched.delete(id);
    closing.set(
      id,
      source.stop().finally(() => closing.delete(id)),
    );
  }
  await Promise.race([Promise.all(closing.values()), sleep(CLOSING_MS)]);
  for (const record of records)
    if (!watched.has(record.id) && !closing.has(record.id)) watched.set(record.id, watchSource(deps, locks, record));
}

async function every(seconds: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await work();
    await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
  }
}
