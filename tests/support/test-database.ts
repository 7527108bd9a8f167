import { randomBytes } from 'node:crypto';
import { type Database, openDatabase } from '../../hub/store/database.js';
import { createProtection, type ProtectionSettings } from '../../hub/store/protection.js';
import { administer } from './global-setup.js';

/** The hubs of the tests run with it. */
export const TEST_SECRET = 'secret-of-the-tests-only';
export const testProtection = (more: Partial<ProtectionSettings> = {}) => createProtection({ secret: TEST_SECRET, ...more });

export interface TestDatabase {
  db: Database;
  url: string;
  /** Closes the connections and drops the database. */
  close(): Promise<void>;
}

/** A database of the caller's own, empty and migrated: a clone of the run's template. */
export async function testDatabase(settings: Partial<ProtectionSettings> = {}): Promise<TestDatabase> {
  const { url, drop } = await emptyDatabase(process.env.TEST_DATABASE_TEMPLATE);
  const db = await openDatabase(url, { protection: testProtection(settings), poolSize: 8 });
  return {
    db,
    url,
    close: async () => {
      await db.close();
      await drop();
    },
  };
}

/** A database without any table, or with those of `template`. */
export async function emptyDatabase(template = 'template1'): Promise<{ url: string; drop(): Promise<void> }> {
  const server = process.env.TEST_DATABASE_SERVER;
  if (!server) throw new Error('the global set-up of the tests has not run');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(server, `create database ${name} template ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => administer(server, `drop database if exists ${name} with (force)`) };
}
