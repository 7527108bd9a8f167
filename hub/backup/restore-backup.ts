import type pg from 'pg';
import type { DataSource, QueryRunner } from 'typeorm';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { makeMonth, monthOfPartition } from '../audit/partitions.js';
import { countOnHere } from '../audit/proof/restored.js';
import { COMMAND_LINE } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { createDataSource } from '../store/data-source.js';
import { queryable } from '../store/database.js';
import { migrateWithin, refuseNewer, whileNobodyMigrates } from '../store/migrate.js';
import type { Protection } from '../store/protection.js';
import type { Queryable } from '../store/queryable.js';
import { fillTable } from './fill-table.js';
import type { OpenBackup } from './open-backup.js';
import { assertOpens } from './opens.js';
import { allTables, anyRelation, type CatalogTable, PLAIN_TEXT, quoted } from './tables.sql.js';

export interface RestoreRequest {
  backup: OpenBackup;
  /** An empty database. */
  url: string;
  config: Config;
  protection: Protection;
  progress: (line: string) => void;
}

/**
 * Puts a backup into an empty database: the schema of its version, its rows, then the migrations since. All of it is one transaction: until
 * it commits, the database is as empty as it was, whatever happens; then it is whole.
 * @throws Error when the database is not empty, a hub is connected to it, or anything of the backup does not fit
 */
export async function restoreBackup(request: RestoreRequest): Promise<void> {
  refuseNewer(request.backup.manifest.migrations, 'the backup');
  const dataSource = await createDataSource(request.url).initialize();
  try {
    // a hub that starts meanwhile waits, and finds the restored database
    await whileNobodyMigrates(dataSource, (runner) => intoEmpty(dataSource, runner, request));
  } finally {
    await dataSource.destroy();
  }
}

async function intoEmpty(dataSource: DataSource, runner: QueryRunner, request: RestoreRequest): Promise<void> {
  const client = (await runner.connect()) as pg.PoolClient;
  await client.query(PLAIN_TEXT);
  await assertEmpty(client);
  await runner.startTransaction();
  try {
    await fill(dataSource, runner, client, request);
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
  await client.query('analyze'); // without figures the planner reads whole tables
}

/** Sessions of hubs that serve; one that starts has none of these yet. */
const HUBS = `
  select count(*)::int as count from pg_stat_activity
  where datname = current_database() and application_name in ('hub', 'hub-audit', 'hub-policy', 'hub-sources')`;

async function assertEmpty(client: pg.ClientBase): Promise<void> {
  const found = (await client.query<{ name: string }>(anyRelation)).rows[0];
  if (found)
    throw new Error(
      `the database is not empty (it has ${found.name}): a backup is restored into an empty one only, nothing is overwritten`,
    );
  const hubs = (await client.query<{ count: number }>(HUBS)).rows[0]?.count ?? 0;
  if (hubs > 0) throw new Error('a hub is connected to the database: stop every hub process first');
}

async function fill(
  dataSource: DataSource,
  runner: QueryRunner,
  client: pg.PoolClient,
  { backup, config, protection, progress }: RestoreRequest,
): Promise<void> {
  const { manifest } = backup;
  const tx = queryable(client, protection);
  await migrateWithin(dataSource, runner, manifest.migrations);
  await makePartitions(tx, client, backup);
  const tables = await tablesOf(client);
  const ours = manifest.tables.filter(({ name }) => tables.some((table) => table.name === name));
  for (const { name } of manifest.tables.filter((table) => !ours.includes(table)))
    progress(`NOT RESTORED: table ${name}, which is not of the hub`);
  assertAllThere(tables, manifest.tables);
  const all = tables.map(({ name }) => quoted(name));
  for (const table of all) await client.query(`alter table ${table} disable trigger user`);
  await client.query(`truncate ${all.join(', ')}`); // rows that the migrations write are in the backup
  for (const table of ours) {
    await fillTable(client, backup, table);
    if (table.rows > 0) progress(`${table.name}: ${table.rows} rows`);
  }
  for (const { name, last, called } of manifest.sequences)
    await client.query('select setval(to_regclass($1), $2, $3)', [quoted(name), last, called]);
  for (const table of all) await client.query(`alter table ${table} enable trigger user`);
  await migrateWithin(dataSource, runner);
  await assertOpens(tx, config, protection);
  await goOn(tx, backup);
}

/** Partitions that a hub made while it ran; any other table is made by the migrations. */
async function makePartitions(tx: Queryable, client: pg.ClientBase, { manifest }: OpenBackup): Promise<void> {
  const there = new Set((await tablesOf(client)).map(({ name }) => name));
  for (const { name } of manifest.tables) {
    const month = monthOfPartition(name);
    if (month && !there.has(name)) await makeMonth(tx, month);
  }
}

const tablesOf = async (client: pg.ClientBase): Promise<CatalogTable[]> => (await client.query<CatalogTable>(allTables)).rows;

function assertAllThere(tables: readonly CatalogTable[], inBackup: readonly { name: string }[]): void {
  const missing = tables.filter(({ name, isPartitioned }) => !isPartitioned && !inBackup.some((table) => table.name === name));
  if (missing.length > 0) throw new Error(`the backup lacks ${missing.map(({ name }) => name).join(', ')}`);
}

/** The audit goes on, and says what happened. */
async function goOn(tx: Queryable, { manifest }: OpenBackup): Promise<void> {
  await countOnHere(tx);
  const head = manifest.audit ? `, ${manifest.audit.size} leaves of the audit sealed` : '';
  await tx.query(
    insertEntries([
      {
        type: 'export',
        subtype: 'restore',
        action: 'C',
        outcome: 0,
        ...COMMAND_LINE,
        detail: `restored to the state of ${manifest.at}${head}; what was written after it is not here`,
      },
    ]),
  );
}
