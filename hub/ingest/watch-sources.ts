import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Connector, SourceError } from '../../connectors/connector.js';
import type { Outbound } from '../../connectors/outbound.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { notFound } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';
import { openSource, type SourceRecord } from './open-source.js';
import { noteFailure, type ReadDeps, readSource } from './read-source.js';
import { createPushes, type Pushes } from './take-pushes.js';
import { createSourceLocks, type SourceLocks } from './source-locks.js';
import type { IngestDeps } from './submit-study.js';

export interface SourceDeps extends IngestDeps {
  db: Database;
  audit: Audit;
  config: Pick<Config, 'secret' | 'utcOffset' | 'pollSeconds'>;
  outbound: Outbound;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  onProgress?: ReadDeps['onProgress'];
}

/** The hospitals' sources as this process has them open, and the reading of those that no other process reads. */
export interface Sources {
  /** The open connector of a source, for retrieval; undefined when there is none or its settings can't be used. */
  connectorFor(connectorId: string): Connector | undefined;
  /** Has a source read from the beginning, by whichever process reads it. @throws Refusal 404 when there is none. */
  reindex(connectorId: string): Promise<void>;
  /** Resolves when every enabled source was read to its end, or failed, in a reading that began after this call. */
  idle(): Promise<void>;
  /** Lets what is being stored be stored, then closes the connectors. */
  stop(): Promise<void>;
}

/** Seconds between two looks for sources that were added, changed or disabled. */
const REGISTRY_SECONDS = 2;
const LONGEST_BACK_OFF_SECONDS = 300;

/**
 * Reads all sources, each at its own pace: one hospital's trouble never stops another's reading. A source that fails is tried again after
 * twice the time, up to five minutes, with the reason in its record.
 */
export function startSources(deps: SourceDeps): Sources {
  const locks = createSourceLocks(deps.db.pool.options);
  const watched = new Map<string, Watched>();
  const stopping = new AbortController();
  let looking: Promise<void> = Promise.resolve();
  const look = (): Promise<void> => {
    looking = looking.then(() => (stopping.signal.aborted ? undefined : lookForSources(deps, locks, watched)));
    return looking;
  };
  const lookAgain = (): Promise<void> =>
    look().catch((error) => deps.log.error({ code: error.code ?? error.name }, 'sources not looked up'));
  const registry = every(REGISTRY_SECONDS, lookAgain, stopping.signal);
  return {
    connectorFor: (connectorId) => watched.get(connectorId)?.connector,
    reindex: async (connectorId) => {
      const rows = await deps.db.query(
        sql`update connector set cursor = null, reset = reset + 1 where id = ${connectorId} returning 1`,
      );
      if (rows.length === 0) throw notFound();
      watched.get(connectorId)?.wake();
    },
    idle: async () => {
      const [now] = await deps.db.query<{ at: string }>(sql`select clock_timestamp()::text as at`);
      do {
        looking = looking.catch(() => undefined);
        await look();
        for (const id of await unread(deps.db, now?.at ?? '')) watched.get(id)?.wake();
        await sleep(50);
      } while (!stopping.signal.aborted && (await unread(deps.db, now?.at ?? '')).length > 0);
    },
    stop: async () => {
      stopping.abort();
      await registry;
      await looking.catch(() => undefined);
      await Promise.all([...watched.values()].map((source) => source.stop()));
      await locks.close();
    },
  };
}

/** Enabled sources that were neither read nor failed since. */
async function unread(db: Database, since: string): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql`
    select id from connector where enabled and coalesce(greatest(last_success, last_error_at), '-infinity') < ${since}::timestamptz`);
  return rows.map((row) => row.id);
}

/** Opens sources that are new, anew those that were changed, and closes those that are gone. */
async function lookForSources(deps: SourceDeps, locks: SourceLocks, watched: Map<string, Watched>): Promise<void> {
  const records = await deps.db.query<SourceRecord & Record<string, unknown>>(
    sql`select id, organization_id, kind, settings, secrets from connector where enabled order by id`,
  );
  const current = new Map(records.map((record) => [record.id, record]));
  for (const [id, source] of watched) {
    if (isDeepStrictEqual(source.record, current.get(id))) continue;
    watched.delete(id);
    await source.stop();
  }
  for (const record of records) if (!watched.has(record.id)) watched.set(record.id, watch(deps, locks, record));
}

interface Watched {
  record: SourceRecord;
  connector: Connector | undefined;
  /** Reads now instead of after the pause. */
  wake(): void;
  stop(): Promise<void>;
}

function watch(deps: SourceDeps, locks: SourceLocks, record: SourceRecord): Watched {
  const stopping = new AbortController();
  let waking = new AbortController();
  const pause = async (seconds: number): Promise<void> => {
    await sleep(seconds * 1000, undefined, { signal: AbortSignal.any([stopping.signal, waking.signal]) }).catch(() => undefined);
    waking = new AbortController();
  };
  const opened = tryOpen(deps, record);
  const reading = keepReading(deps, locks, record, opened, pause, stopping.signal);
  return {
    record,
    connector: 'connector' in opened ? opened.connector : undefined,
    wake: () => waking.abort(),
    stop: async () => {
      stopping.abort();
      await reading;
      if ('connector' in opened) await opened.connector.close();
    },
  };
}

type Opened = { connector: Connector } | { problem: SourceError };

function tryOpen(deps: SourceDeps, record: SourceRecord): Opened {
  try {
    return { connector: openSource(deps, record) };
  } catch {
    return { problem: new SourceError('refused', 'The settings or credentials of this source can not be used.') };
  }
}

async function keepReading(
  deps: SourceDeps,
  locks: SourceLocks,
  record: SourceRecord,
  opened: Opened,
  pause: (seconds: number) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  const pushes = createPushes();
  while (!signal.aborted) {
    try {
      if (await locks.take(record.id)) await readOnce(deps, locks, record, opened, pushes, signal);
      else pushes.stop();
      failures = 0;
    } catch (error) {
      if (signal.aborted) break;
      failures += 1;
      await reportFailure(deps, record.id, error, failures);
    }
    await pause(Math.min(deps.config.pollSeconds * 2 ** failures, Math.max(LONGEST_BACK_OFF_SECONDS, deps.config.pollSeconds)));
  }
  pushes.stop();
  await locks.release(record.id).catch(() => undefined);
}

async function readOnce(
  deps: SourceDeps,
  locks: SourceLocks,
  record: SourceRecord,
  opened: Opened,
  pushes: Pushes,
  signal: AbortSignal,
): Promise<void> {
  if ('problem' in opened) throw opened.problem;
  const { db, audit, scheduleAutomatic, onProgress, log } = deps;
  const reading: ReadDeps = {
    db,
    audit,
    scheduleAutomatic,
    onProgress,
    holds: () => locks.holds(record.id),
    onDefect: (code) => log.error({ connectorId: record.id, code }, 'a study could not be stored'),
  };
  const source = { connectorId: record.id, custodianId: record.organization_id, connector: opened.connector };
  await pushes.start(reading, source);
  await readSource(reading, source, signal);
}

/** Logged when trouble begins, without what a source or the database says: it may hold patient data. */
async function reportFailure({ db, log }: SourceDeps, connectorId: string, error: unknown, failures: number): Promise<void> {
  const code = (error as { code?: string }).code ?? (error as Error).name;
  if (failures === 1 && error instanceof SourceError) log.warn({ connectorId, code }, 'source can not be read');
  else if (failures === 1) log.error({ connectorId, code, at: stackOf(error) }, 'reading a source failed');
  await noteFailure(db, connectorId, error).catch(() => undefined);
}

/** Where an error was thrown, without its message. */
const stackOf = (error: unknown): string[] =>
  ((error as Error).stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 6)
    .map((line) => line.trim());

async function every(seconds: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await work();
    await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
  }
}
