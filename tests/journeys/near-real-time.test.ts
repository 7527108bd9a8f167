import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import { dataSet, part10 } from '../connectors/support/data-sets.js';
import { NOTIFY_HUB, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort, type RunningHub, startHub } from '../support/running-hub.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

const TOKEN = 'announced-by-the-archive-itself';
const SECRET = 'secret-of-the-tests-only';
const uidOf = (n: number): string => `1.2.826.0.1.3680043.10.1451.79.${n}`;

/** The hospital `asked` is read by a hub that looks for news, `announcing` by one that does not: its archive tells. */
describe('what changes in an archive', () => {
  let folder: string;
  let database: TestDatabase;
  let orthanc: Orthanc;
  let asking: RunningHub;
  /** Reads its source once a minute; `other` is a second process on the same database, and the archive announces to that one. */
  let hub: RunningHub;
  let other: RunningHub;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'near-real-time-'));
    const port = await freePort();
    orthanc = await startOrthanc({
      settings: {
        LuaScripts: [NOTIFY_HUB],
        NotifyHub: { Url: `http://127.0.0.1:${port}/sources/announcing.pacs/changed`, Token: TOKEN },
      },
    });
    asking = await startHub({ config: { pollSeconds: 60, quickPollSeconds: 0.2 } });
    database = await testDatabase();
    hub = await startHub({ database, config: { pollSeconds: 60, quickPollSeconds: 60 } });
    await enter(asking, 'asked');
    await enter(hub, 'announcing', TOKEN);
    other = await startHub({ database, config: { pollSeconds: 60, quickPollSeconds: 60, port, publicUrl: hub.url } });
  }, 60_000);
  afterAll(async () => {
    await other?.stop();
    await hub?.stop();
    await asking?.stop();
    await database?.close();
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const enter = async (at: RunningHub, hospital: string, notifyToken?: string): Promise<void> => {
    await at.join([{ id: hospital, assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.64' }]);
    const settings = { baseUrl: orthanc.dicomwebUrl, orthancUrl: orthanc.orthancUrl };
    await addSource(at.db, { id: `${hospital}.pacs`, organizationId: hospital, kind: 'dicomweb', settings, notifyToken }, SECRET);
    await at.hub.sources.idle();
  };
  const store = async (study: number, instance = 1): Promise<void> => {
    const uid = uidOf(study);
    const file = join(folder, `${study}.${instance}`);
    const uids = { '0020000D': uid, '0020000E': `${uid}.1`, '00080018': `${uid}.1.${instance}` };
    await writeFile(file, part10(dataSet(Object.fromEntries(Object.entries(uids).map(([tag, value]) => [tag, ['UI', value]])))));
    expect(await orthanc.store([file])).toBe(1);
  };
  const found = async (at: RunningHub, study: number): Promise<{ numberOfInstances?: number } | undefined> => {
    const { body } = await at
      .http()
      .get(`/fhir/ImagingStudy?identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${uidOf(study)}`)}`)
      .set('authorization', `Bearer ${await at.system(at === asking ? 'asked' : 'announcing')}`);
    return body.entry?.[0]?.resource;
  };
  /** Milliseconds until it is so. */
  const until = async (happened: () => Promise<boolean>): Promise<number> => {
    const begin = performance.now();
    while (!(await happened())) {
      if (performance.now() - begin > 10_000) throw new Error('it did not happen in time');
      await sleep(5);
    }
    return performance.now() - begin;
  };
  const announce = (id: string, token: string | undefined, at = other) => {
    const request = at.http().post(`/sources/${id}/changed`);
    return (token === undefined ? request : request.set('authorization', `Bearer ${token}`)).send();
  };

  it('is found within a second where the archive is asked, and when it grows', async () => {
    await store(1);
    expect(await until(async () => (await found(asking, 1)) !== undefined)).toBeLessThan(3_000);
    await store(1, 2);
    expect(await until(async () => (await found(asking, 1))?.numberOfInstances === 2)).toBeLessThan(3_000);
  });

  it('is read at once where the archive announces it, even to a process that does not read it', async () => {
    await store(2);
    expect(await until(async () => (await found(hub, 2)) !== undefined)).toBeLessThan(3_000);
  });

  it('is announced by the token of that source and no other: one answer for all that do not hold, on record', async () => {
    const refused = await Promise.all([
      announce('announcing.pacs', undefined),
      announce('announcing.pacs', 'announced-by-somebody-else-'),
      announce('asked.pacs', TOKEN),
      announce('nobody.pacs', TOKEN),
      announce('..%2f..', TOKEN),
    ]);
    expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
    expect(new Set(refused.map(({ text }) => text)).size).toBe(1);
    expect((await announce('announcing.pacs', TOKEN)).status).toBe(202);
    const { rows } = await database.db.pool.query(
      "select outcome, agent, entity, count(*)::int as n from audit_event where subtype = 'source-changed' group by 1, 2, 3 order by 1 desc, 3",
    );
    expect(rows).toEqual([
      { outcome: 4, agent: 'Anonymous', entity: ['Connector/'], n: 1 },
      { outcome: 4, agent: 'Anonymous', entity: ['Connector/announcing.pacs'], n: 2 },
      { outcome: 4, agent: 'Anonymous', entity: ['Connector/asked.pacs'], n: 1 },
      { outcome: 4, agent: 'Anonymous', entity: ['Connector/nobody.pacs'], n: 1 },
      { outcome: 0, agent: 'Device/connector-announcing.pacs', entity: ['Connector/announcing.pacs'], n: 1 },
    ]);
  });

  it('is announced by a secret that is stored encrypted, and shown nowhere', async () => {
    const { rows } = await database.db.pool.query('select settings, secrets from connector');
    expect(JSON.stringify(rows)).not.toContain(TOKEN);
    expect(rows.map((row) => row.secrets?.toString('latin1') ?? '').join()).not.toContain(TOKEN);
  });

  it('is not looked at further for an address that guesses', async () => {
    const answers = [];
    for (let n = 0; n < 25; n += 1) answers.push((await announce('announcing.pacs', `a-guess-of-a-stranger-${n}`, hub)).status);
    expect(answers.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(answers.slice(20)).toEqual(Array(5).fill(429));
  });
});
