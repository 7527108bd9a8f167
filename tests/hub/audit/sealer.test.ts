import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { insertEntries } from '../../../hub/audit/insert-entries.sql.js';
import { checkDatabase } from '../../../hub/audit/proof/check-database.js';
import { raw } from '../../../hub/store/sql.js';
import { startHubProcess } from '../../support/hub-process.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const entries = Array.from({ length: 500 }, (_, i) => ({
  type: 'rest' as const,
  subtype: 'read',
  action: 'R' as const,
  outcome: 0 as const,
  agent: 'Practitioner/wang',
  requestId: `r-${i}`,
}));

describe('hub processes that seal the audit', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.close());

  const count = async (table: string) =>
    (await database.db.query<{ n: number }>(raw(`select count(*)::int as n from ${table}`)))[0]?.n ?? -1;
  const untilSealed = async (more: number) => {
    for (let i = 0; i < 900 && (await count('audit_leaf')) < more; i++) await sleep(100);
    expect(await count('audit_leaf')).toBeGreaterThanOrEqual(more);
  };
  const start = () => startHubProcess({ databaseUrl: database.url, environment: { HUB_AUDIT_SEAL_SECONDS: '0.1' } });

  it('are killed at any time, and lose and double nothing; one that is stopped seals what is left', async () => {
    const [first, second] = await Promise.all([start(), start()]);
    let isWriting = true;
    const writers = [1, 2].map(async () => {
      while (isWriting && (await count('audit_event')) < 30_000) {
        await database.db.query(insertEntries(entries));
        await sleep(2);
      }
    });
    await untilSealed(1000);
    await first.kill();
    await untilSealed((await count('audit_leaf')) + 500);
    await second.kill();
    const third = await start();
    await untilSealed((await count('audit_leaf')) + 500);
    isWriting = false;
    await Promise.all(writers);
    expect(await third.stop()).toBe(0);
    expect(await count('audit_leaf')).toBe(await count('audit_event'));
    const checked = await checkDatabase(database.db, {});
    expect(checked).toMatchObject({
      verification: { faults: [], unsealed: 0, leaves: await count('audit_event') },
      wrongNodes: 0,
    });
    expect(checked?.verification.heads).toBeGreaterThan(3);
  });
});
