import pg from 'pg';

/** First key of the advisory locks of sources; the second is the hash of the connector's id. */
const SOURCES = 7390213;

/** Which sources this process reads: of all processes on a database one reads each source. The database frees the locks of a process that died. */
export interface SourceLocks {
  /** Whether this process has the source now, taking it if nobody has. */
  take(connectorId: string): Promise<boolean>;
  /** Whether it still has it, as far as it knows. */
  holds(connectorId: string): boolean;
  release(connectorId: string): Promise<void>;
  close(): Promise<void>;
}

/** Locks on one connection of their own, which is made anew when it breaks: then nothing is held any more. */
export function createSourceLocks(options: pg.ClientConfig): SourceLocks {
  const held = new Set<string>();
  let client: Promise<pg.Client> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const connect = async (): Promise<pg.Client> => {
    const fresh = new pg.Client({ ...options, application_name: 'hub-sources', keepAlive: true });
    const lost = (): void => {
      held.clear();
      client = undefined;
    };
    fresh.on('error', lost).on('end', lost);
    try {
      await fresh.connect();
    } catch (error) {
      lost();
      throw error;
    }
    return fresh;
  };
  /** Statements of one connection follow each other. */
  const ask = (statement: string, connectorId: string): Promise<boolean> => {
    const answer = last.then(async () => {
      client ??= connect();
      const { rows } = await (await client).query<{ done: boolean }>(`select ${statement}($1, hashtext($2)) as done`, [
        SOURCES,
        connectorId,
      ]);
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
