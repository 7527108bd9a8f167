import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { allTables, type CatalogTable } from '../../../hub/backup/tables.sql.js';
import { TEST_SECRET } from '../../support/test-database.js';

const MAIN = fileURLToPath(new URL('../../../hub/main.js', import.meta.url));

/** Runs statements as the database's administrator would. */
export async function ask<Row extends pg.QueryResultRow>(url: string, ...statements: string[]): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: Row[] = [];
    for (const statement of statements) ({ rows } = await client.query<Row>(statement));
    return rows;
  } finally {
    await client.end();
  }
}

/** Each table with a digest of all its rows: two databases that hold the same give the same. */
export async function contentOf(url: string, without: readonly string[] = []): Promise<Record<string, string>> {
  const tables = (await ask<CatalogTable>(url, allTables)).filter((t) => !t.isPartitioned && !without.includes(t.name));
  const digests = tables.map(
    ({ name }) =>
      `select '${name}' as name, count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') as digest from "${name}" t`,
  );
  const rows = await ask<{ name: string; digest: string }>(url, digests.join(' union all '));
  return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
}

/** Whether a database has nothing of a hub in it. */
export const isEmpty = async (url: string): Promise<boolean> => (await ask<CatalogTable>(url, allTables)).length === 0;

/** `hub ARGUMENTS` as a process that can be killed. */
export function started(args: readonly string[], environment: Record<string, string>): { kill(): Promise<void> } {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, HUB_SECRET: TEST_SECRET, ...environment },
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Everything in a folder, in one. */
export async function bytesIn(folder: string): Promise<Buffer> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return Buffer.concat(await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name)))));
}

export async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_200; i++) {
    if (await done()) return;
    await sleep(50);
  }
  throw new Error(`never: ${what}`);
}

/** Every row of the audit is in the tree. */
export const everythingSealed = (url: string): Promise<void> =>
  until('everything is sealed', async () => {
    const isSealed = 'exists (select from audit_leaf l where l.recorded = a.recorded and l.event_id = a.id)';
    return (await ask(url, `select from audit_event a where not ${isSealed} limit 1`)).length === 0;
  });
