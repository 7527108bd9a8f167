import { mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import type { Config } from '../config.js';
import type { Protection } from '../store/protection.js';
import { copyTable, teller } from './copy-table.js';
import { type BackupKeys, type Manifest, newBackupKeys, PLAIN_NAME, type TableInBackup, writeManifest } from './manifest.js';
import { fileOf } from './open-backup.js';
import { prepareSource } from './prepare-source.js';
import { beginSnapshot, describe, sequencesOf } from './snapshot.js';
import { inOrder, PLAIN_TEXT } from './tables.sql.js';

export interface BackupRequest {
  /** The database. */
  url: string;
  config: Config;
  protection: Protection;
  /** A folder that is not there yet. */
  folder: string;
  /** Takes one line on what is going on. */
  progress: (line: string) => void;
}

/**
 * Writes a backup of one instant of the database, beside running hubs: every table in one snapshot, compressed and encrypted under a key that
 * lies in the manifest, sealed under the configured secret. Memory does not grow with the database. The folder appears when all of it is on the disk.
 * @throws Error when the configuration does not open what is encrypted in the database: nobody could use the backup
 */
export async function takeBackup({ url, config, protection, folder, progress }: BackupRequest): Promise<Manifest> {
  if (await stat(folder).catch(() => undefined))
    throw new Error(`${folder} is there already: a backup goes to a folder of its own`);
  const needed = await prepareSource(url, config, protection, progress);
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.partial-`);
  try {
    await mkdir(join(draft, 'tables'), { mode: 0o700 });
    const keys = newBackupKeys(config.secret);
    const content = await withClient(url, (client) => copyAll(client, draft, keys, progress));
    const manifest: Omit<Manifest, 'authenticator'> = {
      format: 'hub-backup/1',
      ...content,
      keys: { needed, sealed: keys.sealed },
      protectedSystems: [...config.protectedSystems],
    };
    const complete = { ...manifest, authenticator: keys.authenticate(manifest) };
    await writeManifest(draft, complete);
    await syncFolder(join(draft, 'tables'));
    await syncFolder(draft);
    await rename(draft, folder);
    await syncFolder(dirname(folder));
    return complete;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'hub-backup' });
  let lost: Error | undefined;
  client.on('error', (error) => {
    lost = error;
  });
  await client.connect();
  try {
    return await work(client);
  } catch (error) {
    throw lost ?? error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function copyAll(
  client: pg.Client,
  draft: string,
  keys: BackupKeys,
  progress: (line: string) => void,
): Promise<Pick<Manifest, 'at' | 'postgres' | 'migrations' | 'audit' | 'tables' | 'sequences'>> {
  await client.query(PLAIN_TEXT);
  const tables = (await beginSnapshot(client)).filter(({ name, columns }) => {
    const isPlain = [name, ...columns].every((each) => PLAIN_NAME.test(each));
    if (!isPlain) progress(`NOT IN THE BACKUP: table ${name}, which is not of the hub`);
    return isPlain;
  });
  const content = await describe(client);
  const told = teller(tables, progress);
  const copied: TableInBackup[] = [];
  for (const table of inOrder(tables)) {
    const path = fileOf(draft, table.name);
    copied.push(await copyTable(client, table, { path, key: keys.ofTable(table.name), told }));
  }
  await client.query('commit');
  return { ...content, tables: copied, sequences: await sequencesOf(client) };
}

/** A name is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
