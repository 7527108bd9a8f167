import { createHash, timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Connector, SourceError } from '../../connectors/connector.js';
import type { Outbound } from '../../connectors/outbound.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import type { Database } from '../store/database.js';
import { type OpenedSource, openSource, type SourceRecord } from './open-source.js';
import { noteFailure, type ReadDeps, type Reading, readSource } from './read-source.js';
import type { SourceLocks } from './source-locks.js';
import type { IngestDeps } from './submit-study.js';
import { createPushes, type Pushes } from './take-pushes.js';

export interface SourceDeps extends IngestDeps {
  db: Database;
  audit: Audit;
  config: Pick<Config, 'secret' | 'utcOffset' | 'pollSeconds' | 'quickPollSeconds'>;
  outbound: Outbound;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  records?: ReadDeps['records'];
  steps?: ReadDeps['steps'];
  onProgress?: ReadDeps['onProgress'];
}

/** A source as this process has it open. */
export interface Watched {
  record: SourceRecord;
  connector: Connector | undefined;
  /** Whether this is the token by which the source announces changes. */
  isAnnouncedBy(token: string): boolean;
  /** Reads now instead of after the pause. */
  wake(): void;
  stop(): Promise<void>;
}

const LONGEST_BACK_OFF_SECONDS = 300;
/** The database is everybody's: when it is back nobody waits for long. */
const LONGEST_WAIT_FOR_DATABASE_SECONDS = 5;
/** A source is busy with being asked for news at most one part in so many of the time. */
const LOOKS_SHARE = 20;

/**
 * Opens a source and reads it at its own pace, while no other process does: to its end, and again when there is news, when it is woken, and after
 * `pollSeconds` at the latest. A source that fails is tried again after twice the time, up to five minutes, with the reason in its record.
 */
export function watchSource(deps: SourceDeps, locks: SourceLocks, record: SourceRecord): Watched {
  const stopping = new AbortController();
  let waking = new AbortController();
  const pause: Pause = async (seconds) => {
    await sleep(seconds * 1000, undefined, { signal: AbortSignal.any([stopping.signal, waking.signal]) }).catch(() => undefined);
    const isWoken = waking.signal.aborted;
    if (isWoken) waking = new AbortController();
    return isWoken || stopping.signal.aborted;
  };
  const opened = tryOpen(deps, record);
  const reading = keepReading(deps, locks, record, opened, pause, stopping.signal);
  return {
    record,
    connector: 'connector' in opened ? opened.connector : undefined,
    isAnnouncedBy: (token) => 'notifyToken' in opened && isSameSecret(opened.notifyToken, token),
    wake: () => waking.abort(),
    stop: async () => {
      stopping.abort();
      await reading;
      if ('connector' in opened) await opened.connector.close();
    },
  };
}

/** Waits so long, or until somebody wakes it: then true. */
type Pause = (seconds: number) => Promise<boolean>;

type Opened = OpenedSource | { problem: SourceError };

function tryOpen(deps: SourceDeps, record: SourceRecord): Opened {
  try {
    return openSource(deps, record);
  } catch {
    return { problem: new SourceError('refused', 'The settings or credentials of this source can not be used.') };
  }
}

/** Compared in a time that tells nothing. */
function isSameSecret(known: string | undefined, given: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return known !== undefined && timingSafeEqual(digest(known), digest(given));
}

async function keepReading(
  deps: SourceDeps,
  locks: SourceLocks,
  record: SourceRecord,
  opened: Opened,
  pause: Pause,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  /** Times that the source had news, one after the other, and nothing came of it. */
  let fruitless = 0;
  let cursor: string | undefined;
  let hadNews = false;
  const pushes = createPushes();
  while (!signal.aborted) {
    let seconds = deps.config.pollSeconds;
    let isRead = false;
    const began = performance.now();
    try {
      isRead = await locks.take(record.id);
      if (isRead) {
        const before = cursor;
        const read = await readOnce(deps, locks, record, opened, pushes, signal);
        cursor = read.cursor;
        seconds = Math.min(seconds, Math.max(read.lookIn ?? seconds, deps.config.quickPollSeconds));
        fruitless = hadNews && read.changes === 0 && before === cursor ? fruitless + 1 : 0;
      } else pushes.stop();
      failures = 0;
    } catch (error) {
      if (signal.aborted) break;
      failures += 1;
      seconds = await reportFailure(deps, record.id, error, { failures, ms: performance.now() - began });
    }
    const quick = deps.config.quickPollSeconds * 2 ** Math.min(fruitless, 10);
    const look = isRead && failures === 0 ? lookAt(opened, cursor) : undefined;
    hadNews = await untilDue({ look, seconds, quick, holds: () => locks.holds(record.id) }, pause, signal);
  }
  pushes.stop();
  await locks.release(record.id).catch(() => undefined);
}

type LookForNews = (signal: AbortSignal) => Promise<boolean>;

function lookAt(opened: Opened, cursor: string | undefined): LookForNews | undefined {
  if (!('connector' in opened) || cursor === undefined) return undefined;
  const { connector } = opened;
  return connector.hasNews && ((signal) => connector.hasNews?.(cursor, signal) ?? Promise.resolve(false));
}

interface Due {
  look: LookForNews | undefined;
  /** Longest wait. */
  seconds: number;
  /** Least time between two looks for news. */
  quick: number;
  holds: () => boolean;
}

/**
 * Waits until the source has news, or is due anyway. A look is a cheap question to the source and none to the database.
 * @returns whether it has news.
 */
async function untilDue({ look, seconds, quick, holds }: Due, pause: Pause, signal: AbortSignal): Promise<boolean> {
  const due = Date.now() + seconds * 1000;
  let wait = quick;
  while (look && Date.now() + wait * 1000 < due) {
    if (await pause(wait)) return false;
    if (!holds()) break;
    const begin = performance.now();
    try {
      if (await look(signal)) return true;
    } catch {
      break; // the next reading meets the same trouble, and tells of it
    }
    wait = Math.max(quick, ((performance.now() - begin) / 1000) * LOOKS_SHARE);
  }
  await pause(Math.max(0, due - Date.now()) / 1000);
  return false;
}

async function readOnce(
  deps: SourceDeps,
  locks: SourceLocks,
  record: SourceRecord,
  opened: Opened,
  pushes: Pushes,
  signal: AbortSignal,
): Promise<Reading> {
  if ('problem' in opened) throw opened.problem;
  const { db, audit, records, steps, scheduleAutomatic, withdrawJobs, onProgress, log } = deps;
  const reading: ReadDeps = {
    db,
    audit,
    records,
    steps,
    scheduleAutomatic,
    withdrawJobs,
    onProgress,
    holds: () => locks.holds(record.id),
    onDefect: (code) => log.error({ connectorId: record.id, code }, 'an item could not be stored'),
  };
  const source = { connectorId: record.id, custodianId: record.organization_id, connector: opened.connector };
  await pushes.start(reading, source);
  return readSource(reading, source, signal);
}

/**
 * Logged when trouble begins, without what a source or the database says: it may hold patient data.
 * @returns seconds until the next try.
 */
async function reportFailure(
  { db, log, config }: SourceDeps,
  connectorId: string,
  error: unknown,
  { failures, ms }: { failures: number; ms: number },
): Promise<number> {
  const code = (error as { code?: string }).code ?? (error as Error).name;
  const isOfSource = error instanceof SourceError;
  if (failures === 1 && isOfSource) log.warn({ connectorId, code }, 'source can not be read');
  else if (failures === 1) log.error({ connectorId, code, at: stackOf(error) }, 'reading a source failed');
  await noteFailure(db, connectorId, error, ms).catch(() => undefined);
  const doubled = Math.min(config.pollSeconds, 1) * 2 ** Math.min(failures, 20);
  return Math.min(
    doubled,
    Math.max(isOfSource ? LONGEST_BACK_OFF_SECONDS : LONGEST_WAIT_FOR_DATABASE_SECONDS, config.pollSeconds),
  );
}

/** Where an error was thrown, without its message. */
const stackOf = (error: unknown): string[] =>
  ((error as Error).stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 6)
    .map((line) => line.trim());
