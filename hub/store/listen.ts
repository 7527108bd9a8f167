import pg from 'pg';

const RECONNECT_MS = 2_000;

export interface Listener {
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Address of the database: it takes a connection of its own. */
  url: string;
  /** As the database lists the connection. */
  application: string;
  channels: readonly string[];
  onMessage(channel: string, payload: string): void;
  /** Called whenever it begins to listen: what was said before was missed. */
  onConnect?: () => void;
}

/** Listens to NOTIFY, again and again where the connection is lost. Messages can be missed: nothing may rest on one that comes. */
export function listenTo({ url, application, channels, onMessage, onConnect }: ListenOptions): Listener {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const again = (): void => {
    if (closed || timer) return;
    timer = setTimeout(() => {
      timer = undefined;
      attempt = connect();
    }, RECONNECT_MS).unref();
  };
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: url,
      application_name: application,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    });
    client = next;
    next.on('error', () => undefined);
    next.on('end', again);
    next.on('notification', ({ channel, payload }) => onMessage(channel, payload ?? ''));
    try {
      await next.connect();
      for (const channel of channels) await next.query(`listen ${channel}`);
      onConnect?.();
    } catch {
      await next.end().catch(() => undefined);
      again();
    }
  };
  let attempt = connect();
  return {
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await attempt;
      await client?.end().catch(() => undefined);
    },
  };
}
