import { type Config, loadConfig } from '../config.js';
import { type Database, openDatabase } from '../store/database.js';
import { createProtection } from '../store/protection.js';
import { startEmbeddedPostgres } from '../store/embedded.js';
import { reprotect } from '../store/reprotect.js';

/** Opens the hub's database for one command, beside a running hub or alone, and leaves it as it was. */
export async function withDatabase<T>(work: (db: Database, config: Config) => Promise<T>): Promise<T> {
  const config = loadConfig();
  const store = await openStore(config, () => undefined);
  try {
    return await work(store.db, config);
  } finally {
    await store.close();
  }
}

/** Address of the database that the configuration names, or of the embedded one, which is started where it does not run. */
export async function reachDatabase(
  config: Config,
  progress: (line: string) => void,
): Promise<{ url: string; leave(): Promise<void> }> {
  if (config.databaseUrl) return { url: config.databaseUrl, leave: async () => undefined };
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir, log: progress });
  return { url: embedded.url, leave: () => embedded.stop() };
}

/** The database, brought up to date. */
export async function openStore(
  config: Config,
  progress: (line: string) => void,
): Promise<{ db: Database; url: string; close(): Promise<void> }> {
  const { url, leave } = await reachDatabase(config, progress);
  const db = await openDatabase(url, { protection: createProtection(config), limits: config });
  await reprotect(
    db,
    'seal',
    ({ written }) => written > 0 && progress(`encrypting what an older version stored: ${written} rows`),
  );
  return {
    db,
    url,
    close: async () => {
      await db.close();
      await leave();
    },
  };
}

/** Rows as aligned text. */
export function table(rows: readonly Record<string, unknown>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const cells = [names, ...rows.map((row) => names.map((name) => shown(row[name])))];
  const width = names.map((_, i) => Math.max(...cells.map((line) => displayWidth(line[i] ?? ''))));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell + ' '.repeat((width[i] ?? 0) - displayWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const shown = (value: unknown): string => (value instanceof Date ? value.toISOString() : String(value ?? ''));

/** Chinese characters take two columns of a terminal. */
function displayWidth(text: string): number {
  return [...text].reduce(
    (sum, c) =>
      sum + (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/.test(c) ? 2 : 1),
    0,
  );
}
