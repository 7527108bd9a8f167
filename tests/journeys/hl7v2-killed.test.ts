import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import { sql } from '../../hub/store/sql.js';
import { startHubProcess, type TestHub } from '../support/hub-process.js';
import { codeOf, hl7, type MllpClient, mllpClient, pid } from '../support/mllp.js';
import { freePort } from '../support/free-port.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

/** Connections, each with a patient of its own and so many messages about him. */
const SENDERS = 6;
const MESSAGES = 50;
/** Messages of all senders after which the hub is killed, and so many milliseconds later. */
const KILLED_AT = new Map([
  [70, 0],
  [150, 7],
  [230, 15],
]);

describe('a hub that is killed while a hospital sends', () => {
  let database: TestDatabase;
  let hub: TestHub;
  let port = 0;

  beforeAll(async () => {
    database = await testDatabase();
    await database.db.query(
      sql`insert into organization (id, kind, name, assigner_system) values ('east', 'hospital', 'east', 'urn:oid:1.2.3.1')`,
    );
    port = await freePort();
    await addSource(database.db, {
      id: 'east.his',
      organizationId: 'east',
      kind: 'hl7v2',
      settings: { port, peers: ['127.0.0.1'] },
    });
    hub = await startHubProcess({ databaseUrl: database.url });
  });
  afterAll(async () => {
    await hub?.stop();
    await database?.close();
  });

  /** As an interface engine does: a message is sent until it is acknowledged, before the next one is. */
  async function deliver(message: string, connection: { client?: MllpClient }, sent: () => void): Promise<void> {
    for (;;) {
      try {
        connection.client ??= await mllpClient(port);
        const answer = connection.client.send(message);
        sent();
        const code = codeOf((await answer)[0] ?? []);
        if (code === 'AA') return;
        expect(code).toBe('AE');
      } catch (error) {
        if (!/closed|ECONN|EPIPE/.test((error as Error).message)) throw error;
        connection.client?.end();
        connection.client = undefined;
      }
      await sleep(50);
    }
  }

  it('takes each of 300 messages exactly once, in order', async () => {
    let sent = 0;
    let restarting: Promise<void> | undefined;
    const send = async (_: unknown, sender: number): Promise<void> => {
      const connection: { client?: MllpClient } = {};
      for (let i = 0; i < MESSAGES; i += 1) {
        // a lost correction or a doubled one shows in the versions
        const message = hl7('ADT^A08', [pid(`E-${sender}`, { 11: `street ${i}` })], { 10: `k${sender}.${i}` });
        await deliver(message, connection, () => {
          // somewhere between the arrival of the message and its acknowledgement
          sent += 1;
          const pause = KILLED_AT.get(sent);
          if (pause !== undefined) restarting = sleep(pause).then(restart);
        });
      }
      connection.client?.end();
    };
    await Promise.all(Array.from({ length: SENDERS }, send));
    await restarting;
    const patients = await database.db.query<{ version: number; line: string }>(sql`
      select version, content->'address'->0->'line'->>0 as line from resource where type = 'Patient' order by id`);
    expect(patients).toEqual(Array.from({ length: SENDERS }, () => ({ version: MESSAGES, line: `street ${MESSAGES - 1}` })));
    const [audit] = await database.db.query<{ n: number }>(
      sql`select count(*) as n from audit_event where type = 'ingest' and subtype = 'submit'`,
    );
    expect(audit?.n).toBe(SENDERS * MESSAGES);
    expect(await database.db.query(sql`select from quarantine`)).toEqual([]);
  });

  async function restart(): Promise<void> {
    await hub.kill();
    hub = await startHubProcess({ databaseUrl: database.url });
  }
});
