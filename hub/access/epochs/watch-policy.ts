import pg from 'pg';

const RECONNECT = 2_000;

/**
 * Listens for new epochs of the policy, so that a process has built one before the first request asks for it. Only a speed-up: a message
 * that never comes costs a request the time of building, nothing else.
 */
export function watchPolicy(url: string, onEpoch: () => void): { close(): Promise<void> } {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const again = (): void => {
    if (closed || timer) return;
    timer = setTimeout(() => {
      timer = undefined;
      void connect();
    }, RECONNECT).unref();
  };
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: url,
      application_name: 'hub-policy',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    });
    client = next;
    next.on('error', () => undefined);
    next.on('end', again);
    next.on('notification', onEpoch);
    try {
      await next.connect();
      await next.query('listen policy_epoch');
      onEpoch(); // what was missed while nobody listened
    } catch {
      await next.end().catch(() => undefined);
      again();
    }
  };
  const first = connect();
  return {
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await first;
      await client?.end().catch(() => undefined);
    },
  };
}
