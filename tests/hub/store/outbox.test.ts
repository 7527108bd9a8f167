import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createOutbox, enqueue, type StoredEvent, undelivered } from '../../../hub/store/outbox.js';
import { sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

let test: TestDatabase;
beforeAll(async () => {
  test = await testDatabase();
});
afterAll(() => test.close());

const event = (topic: string) => ({ topic, organizationId: 'hospital-a', payload: { task: 'Task/1' } });

describe('the outbox', () => {
  it('delivers what was committed, once, and nothing of a transaction that failed', async () => {
    const heard: StoredEvent[] = [];
    const outbox = createOutbox(test.db);
    outbox.listen('once.', async (e) => void heard.push(e));
    await test.db.transaction((tx) => enqueue(tx, event('once.kept')));
    const failed = test.db.transaction(async (tx) => {
      await enqueue(tx, event('once.lost'));
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(await outbox.deliver()).toBe(1);
    expect(await outbox.deliver()).toBe(0);
    expect(heard).toMatchObject([event('once.kept')]);
  });

  it('keeps and shows what nobody listens to, until somebody does', async () => {
    await enqueue(test.db, event('later.x'));
    const outbox = createOutbox(test.db);
    expect(await outbox.deliver()).toBe(0);
    expect((await undelivered(test.db, 'hospital-a')).map((e) => e.topic)).toEqual(['later.x']);
    outbox.listen('later.', async () => undefined);
    expect(await outbox.deliver()).toBe(1);
    expect(await undelivered(test.db, 'hospital-a')).toEqual([]);
  });

  it('tries again later what could not be passed on, with the reason kept', async () => {
    await enqueue(test.db, event('again.x'));
    const outbox = createOutbox(test.db);
    let tries = 0;
    outbox.listen('again.', async () => {
      tries++;
      if (tries === 1) throw new Error('no route to host');
    });
    expect(await outbox.deliver()).toBe(0);
    expect(await undelivered(test.db, 'hospital-a')).toMatchObject([{ attempts: 1, last_error: 'no route to host' }]);
    expect(await outbox.deliver()).toBe(0);
    expect(tries).toBe(1);
    await test.db.query(sql`update outbox set run_after = now() where delivered is null`);
    expect(await outbox.deliver()).toBe(1);
  });

  it('gives an event to one deliverer, however many there are', async () => {
    for (let i = 0; i < 20; i++) await enqueue(test.db, event('shared.x'));
    const heard: number[] = [];
    const deliverers = Array.from({ length: 4 }, () => createOutbox(test.db));
    for (const outbox of deliverers) outbox.listen('shared.', async (e) => void heard.push(e.id));
    await Promise.all(deliverers.map((outbox) => outbox.deliver()));
    expect([heard.length, new Set(heard).size]).toEqual([20, 20]);
  });
});
