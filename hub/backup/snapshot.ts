import type pg from 'pg';
import { type Manifest, PLAIN_NAME } from './manifest.js';
import { allSequences, allTables, type CatalogTable, quoted } from './tables.sql.js';

const ATTEMPTS = 5;
/** SQLSTATE undefined_table */
const GONE = '42P01';

/**
 * Opens the snapshot with every table locked against being dropped or changed, which would take its rows from the snapshot: locks come before
 * the first look, and a table that came or went meanwhile has it begin again.
 */
export async function beginSnapshot(client: pg.Client): Promise<CatalogTable[]> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const before = await tablesOf(client);
    const leaves = before.filter(({ isPartitioned }) => !isPartitioned);
    try {
      await client.query('begin isolation level repeatable read read only');
      await client.query(
        `lock table ${leaves.map(({ name }) => `only ${quoted(name.replaceAll('"', '""'))}`).join(', ')} in access share mode`,
      );
      const tables = await tablesOf(client);
      if (tables.map((t) => t.name).join() === before.map((t) => t.name).join()) return tables;
    } catch (error) {
      if ((error as { code?: string }).code !== GONE) throw error;
    }
    await client.query('rollback');
  }
  throw new Error('tables come and go: try again');
}

const tablesOf = async (client: pg.Client): Promise<CatalogTable[]> => (await client.query<CatalogTable>(allTables)).rows;

/** What the snapshot is of. */
export async function describe(client: pg.Client): Promise<Pick<Manifest, 'at' | 'postgres' | 'migrations' | 'audit'>> {
  const { rows } = await client.query<{ at: string; postgres: string; migrations: string[]; hasTree: boolean }>(`
    select to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, current_setting('server_version') as postgres,
      (select array_agg(name::text order by id) from migrations) as migrations, to_regclass('audit_head') is not null as "hasTree"`);
  const { hasTree, ...said } = rows[0] as (typeof rows)[number];
  return { ...said, audit: hasTree ? await newestHead(client) : null };
}

async function newestHead(client: pg.Client): Promise<Manifest['audit']> {
  const { rows } = await client.query<NonNullable<Manifest['audit']>>(`
    select tree_size as size, encode(root, 'hex') as root, to_char(signed, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as signed, jws
    from audit_head order by tree_size desc limit 1`);
  return rows[0] ?? null;
}

/** Where sequences stand: read after the rows, they run ahead of every one of them. */
export async function sequencesOf(client: pg.Client): Promise<Manifest['sequences']> {
  const names = (await client.query<{ name: string }>(allSequences)).rows
    .map(({ name }) => name)
    .filter((each) => PLAIN_NAME.test(each));
  const sequences: Manifest['sequences'] = [];
  for (const name of names) {
    const { rows } = await client.query<{ last: number; called: boolean }>(
      `select last_value as last, is_called as called from ${quoted(name)}`,
    );
    sequences.push({ name, ...(rows[0] as (typeof rows)[number]) });
  }
  return sequences;
}
