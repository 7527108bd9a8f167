import pg from 'pg';
import { type Refusal, unavailable } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { Protection } from '../store/protection.js';
import { insertEntries } from './insert-entries.sql.js';
import { ensureAuditPartitions } from './partitions.js';
import type { Audit, AuditEntry } from './vocabulary.js';

export interface AuditOptions {
  /** Entries that may wait; more are refused. */
  queueLimit?: number;
  /** Told of each failure to write, once a batch. */
  onFailure?: (error: unknown) => void;
}

/** The audit with what the operator looks at. */
export interface AuditWriter extends Audit {
  /** Entries that wait to be committed. */
  readonly pending: number;
  /** Writes an entry and takes it back. @throws when the audit can't be written. */
  check(): Promise<void>;
}

interface Waiting {
  entries: readonly AuditEntry[];
  resolve: () => void;
  reject: (error: Error) => void;
}

const DAY = 86_400_000;
const MOST_IN_A_BATCH = 2000;
const ANSWER_TIMEOUT = 10_000;

/**
 * Opens the audit. Entries of concurrent readers are committed together: one statement is under way on one connection of its own, and what
 * arrives meanwhile goes into the next; an idle writer writes at once. When a write fails everything in it is refused with 503 and the next one
 * begins on a new connection.
 */
export async function openAudit(db: Database, url: string, options: AuditOptions = {}): Promise<AuditWriter> {
  const failed = options.onFailure ?? (() => undefined);
  await ensureAuditPartitions(db);
  const daily = setInterval(() => ensureAuditPartitions(db).catch(failed), DAY).unref();
  const committer = new GroupCommit(url, db.protection, options.queueLimit ?? 20_000, failed);
  return {
    get pending() {
      return committer.pending;
    },
    append: (tx, entries) => append(tx, entries),
    commit: (entries) => committer.commit(entries),
    check: () => check(db),
    close: async () => {
      clearInterval(daily);
      await committer.close();
    },
  };
}

async function append(tx: Queryable, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  try {
    await tx.query(insertEntries(entries));
  } catch (error) {
    throw notWritten(error);
  }
}

/** 503 for the caller; cause and SQLSTATE stay for the log and for whoever tries a transaction again. */
function notWritten(cause: unknown): Refusal {
  return Object.assign(unavailable(), { cause, code: (cause as { code?: string } | undefined)?.code });
}

const PROBE: AuditEntry = { type: 'policy', subtype: 'probe', action: 'E', outcome: 0, agent: 'Device/hub', requestId: 'probe' };

async function check(db: Database): Promise<void> {
  const takenBack = new Error('taken back');
  await db
    .transaction(async (tx) => {
      await tx.query(insertEntries([PROBE]));
      throw takenBack;
    })
    .catch((error) => {
      if (error !== takenBack) throw error;
    });
}

class GroupCommit {
  #client: pg.Client | undefined;
  #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #closed = false;
  pending = 0;

  constructor(
    private readonly url: string,
    private readonly protection: Protection,
    private readonly limit: number,
    private readonly failed: (error: unknown) => void,
  ) {}

  commit(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return Promise.resolve();
    if (this.#closed || this.pending + entries.length > this.limit)
      return Promise.reject(notWritten(new Error('audit queue is full or closed')));
    this.pending += entries.length;
    return new Promise((resolve, reject) => {
      this.#queue.push({ entries, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#client?.end().catch(() => undefined);
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) await this.#write(this.#nextBatch());
    this.#writing = undefined; // in the same step as the look at the empty queue: nothing can slip in between
  }

  #nextBatch(): Waiting[] {
    let size = 0;
    let end = 0;
    while (end < this.#queue.length && (end === 0 || size + this.#queue[end]!.entries.length <= MOST_IN_A_BATCH)) {
      size += this.#queue[end]!.entries.length;
      end++;
    }
    return this.#queue.splice(0, end);
  }

  /** A value that the database refuses fails the request it came with, not its neighbours. */
  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      const client = await this.#connection();
      await client.query({ name: 'entries', ...insertEntries(batch.flatMap((w) => w.entries)).toQuery(this.protection) });
      this.#settle(batch, (w) => w.resolve());
    } catch (error) {
      if (isDataError(error) && batch.length > 1) {
        for (const waiting of batch) await this.#write([waiting]);
        return;
      }
      if (!isDataError(error)) this.#disconnect();
      this.failed(error);
      this.#settle(batch, (w) => w.reject(notWritten(error)));
    }
  }

  #settle(batch: readonly Waiting[], how: (waiting: Waiting) => void): void {
    for (const waiting of batch) {
      this.pending -= waiting.entries.length;
      how(waiting);
    }
  }

  async #connection(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'hub-audit',
      options: '-c synchronous_commit=on',
      connectionTimeoutMillis: ANSWER_TIMEOUT,
      query_timeout: ANSWER_TIMEOUT,
      statement_timeout: ANSWER_TIMEOUT,
    });
    client.on('error', () => this.#disconnect(client));
    await client.connect();
    this.#client = client;
    return client;
  }

  #disconnect(which = this.#client): void {
    if (which === this.#client) this.#client = undefined;
    which?.end().catch(() => undefined);
  }
}

/** SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation). */
function isDataError(error: unknown): boolean {
  return /^2[23]/.test((error as { code?: string } | undefined)?.code ?? '');
}
