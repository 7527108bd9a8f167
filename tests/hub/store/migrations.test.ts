import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openDatabase } from '../../../hub/store/database.js';
import { sql } from '../../../hub/store/sql.js';
import { emptyDatabase, TEST_SECRET, testProtection } from '../../support/test-database.js';

const execute = promisify(execFile);

describe('migrations', () => {
  let empty: Awaited<ReturnType<typeof emptyDatabase>>;
  beforeEach(async () => {
    empty = await emptyDatabase();
  });
  afterEach(() => empty.drop());

  const landed = async (): Promise<string[]> => {
    const db = await openDatabase(empty.url, { protection: testProtection() });
    const rows = await db.query<{ name: string }>(sql`select name from migrations order by id`);
    await db.close();
    return rows.map((r) => r.name);
  };

  it('run again without doing anything', async () => {
    const first = await landed();
    expect(first.length).toBeGreaterThan(0);
    expect(await landed()).toEqual(first);
  });

  it('run once when two processes start at the same time on an empty database', async () => {
    const module = new URL('../../../hub/store/database.js', import.meta.url).href;
    const keys = new URL('../../../hub/store/protection.js', import.meta.url).href;
    const program = `
      const { openDatabase } = await import(${JSON.stringify(module)});
      const { createProtection } = await import(${JSON.stringify(keys)});
      await (await openDatabase(process.env.URL_TO_OPEN, { protection: createProtection({ secret: ${JSON.stringify(TEST_SECRET)} }) })).close();`;
    const start = () =>
      execute(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, URL_TO_OPEN: empty.url } });
    await Promise.all([start(), start()]);
    const names = await landed();
    expect(new Set(names).size).toBe(names.length);
  });
});
