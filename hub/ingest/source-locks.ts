import pg from 'pg';

/** First key of the advisory locks of sources; the second is the hash of the connector's id. */
const SOURCES = 7390213;

const ANSWER_TIMEOUT = 10_000;

/** Channel on which a process says, by its id, that something changed at a source. */
export const SOURCE_CHANGED = 'source_changed';

/** Which sources this process reads: of all processes on a database one reads each source. The database frees the locks of a process that died. */
export interface SourceLocks {
  /** Whether this process has the source now, taking it if nobody has. */
  take(connectorId: string): Promise<boolean>;
  /** Whether it still has it, as far as it knows. */
  holds(connectorId: string): boolean;
  release(connectorId: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Locks on one connection of their own, which is made anew when it breaks: then nothing is held any more. On the same connection it is heard what
 * changed at which source.
 */
export function createSourceLocks(options: pg.ClientConfig, onChanged: (connectorId: string) => void): SourceLocks {
  const held = new Set<string>();
  let client: Promise<pg.Client> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const connect = (): Promise<pg.Client> => {
    const fresh = new pg.Client({
      ...options,
      application_name: 'hub-sources',
      keepAlive: true,
      connectionTimeoutMillis: ANSWER_TIMEOUT,
      query_timeout: ANSWER_TIMEOUT,
    });
    const opening = (async () => {
      await fresh.connect();
      await fresh.query(`listen ${SOURCE_CHANGED}`);
      return fresh;
    })();
    // A connection tells of its end more than once: only the one that is in use takes what is held with it.
    const lost = (): void => {
      if (client === opening) {
        held.clear();
        client = undefined;
      }
      fresh.end().catch(() => undefined);
    };
    fresh
      .once('error', lost)
      .once('end', lost)
      .on('error', () => undefined);
    fresh.on('notification', ({ payload }) => onChanged(payload ?? ''));
    opening.catch(lost);
    return opening;
  };
  /** Statements of one connection follow each other. One that is not answered ends it. */
  const ask = (statement: string, connectorId: string): Promise<boolean> => {
    const answer = last.then(async () => {
      client ??= connect();
      const asked = await client;
      const { rows } = await asked
        .query<{ done: boolean }>(`select ${statement}($1, hashtext($2)) as done`, [SOURCES, connectorId])
        .catch((error: Error) => {
          asked.emit('error', error);
          throw error;
        });
      return rows[0]?.done ?? false;
    });
    last = answer.catch(() => undefined);
    return answer;
  };
  return {
    take: async (connectorId) => {
      if (held.has(connectorId)) return true;
      const taken = await ask('pg_try_advisory_lock', connectorId);
      if (taken) held.add(connectorId);
      return taken;
    },
    holds: (connectorId) => held.has(connectorId),
    release: async (connectorId) => {
      if (held.delete(connectorId)) await ask('pg_advisory_unlock', connectorId);
    },
    close: async () => {
      await last;
      await (await client?.catch(() => undefined))?.end();
    },
  };
}
