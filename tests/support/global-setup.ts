import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { takeShippedPolicy } from '../../hub/access/epochs/shipped-policy.js';
import { openDatabase } from '../../hub/store/database.js';
import { createProtection } from '../../hub/store/protection.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';

/**
 * One PostgreSQL for the whole run (the one that DATABASE_URL names, else an embedded one) and in it one migrated template, which each test
 * file clones. Both names reach the tests by the environment.
 */
export default async function globalSetup(): Promise<void> {
  const given = process.env.DATABASE_URL;
  const server = given ?? (await startForThisRun());
  const template = `hub_template_${process.pid}`;
  await administer(server, `drop database if exists ${template} with (force)`, `create database ${template}`);
  const url = new URL(server);
  url.pathname = `/${template}`;
  const db = await openDatabase(url.href, { protection: createProtection({ secret: 'secret-of-the-tests-only' }) });
  await takeShippedPolicy(db, async () => undefined);
  await db.close();
  process.env.TEST_DATABASE_SERVER = server;
  process.env.TEST_DATABASE_TEMPLATE = template;
}

export async function administer(server: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function startForThisRun(): Promise<string> {
  const root = process.env.TEST_DATA_DIR ?? '.data';
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(root)) {
    const pid = /^test-(\d+)$/.exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) await removeEmbeddedPostgres(join(root, name));
  }
  const dataDir = join(root, `test-${process.pid}`);
  const { url } = await startEmbeddedPostgres({ dataDir, durable: false });
  process.env.TEST_EMBEDDED_DIR = dataDir;
  return url;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
