import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { createOutbound } from '../../connectors/outbound.js';
import { addSource } from '../../hub/ingest/hospital.js';
import { checkHospital } from '../../hub/ingest/hospital-state.js';
import { dataSet, part10 } from '../connectors/support/data-sets.js';
import { NOTIFY_HUB, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { type RunningHub, startHub } from '../support/running-hub.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

const TOKEN = 'announced-by-the-archive-itself';
const SECRET = 'secret-of-the-tests-only';
/** The archive asks for none; the hub sends it all the same. */
const PASSWORD = 'told-to-this-archive-and-nobody-else';
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
  const logged: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'near-real-time-'));
    const port = await freePort();
    orthanc = await startOrthanc({
      settings: {
        OverwriteInstances: true,
        LuaScripts: [NOTIFY_HUB],
        NotifyHub: { Url: `http://127.0.0.1:${port}/sources/announcing.pacs/changed`, Token: TOKEN },
      },
    });
    const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
    asking = await startHub({ log, config: { pollSeconds: 5, quickPollSeconds: 0.2 } });
    database = await testDatabase();
    hub = await startHub({ database, config: { pollSeconds: 60, quickPollSeconds: 60 } });
    await enter(asking, 'asked');
    await enter(hub, 'announcing', TOKEN);
    other = await startHub({ database, config: { pollSeconds: 60, quickPollSeconds: 60, port, publicUrl: hub.url } });
  });
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
    const auth = { kind: 'basic', username: 'hub', password: PASSWORD };
    const settings = { baseUrl: orthanc.dicomwebUrl, orthancUrl: orthanc.orthancUrl, auth };
    await addSource(at.db, { id: `${hospital}.pacs`, organizationId: hospital, kind: 'dicomweb', settings, notifyToken }, SECRET);
    await at.hub.sources.idle();
  };
  /** Has the archive keep an instance; by default of patient P1 by the name of Wang^XiaoDong. */
  const store = async (study: number, instance = 1, more: Record<string, [string, string]> = {}): Promise<void> => {
    const uid = uidOf(study);
    const file = join(folder, `${study}.${instance}`);
    const uids = { '0020000D': uid, '0020000E': `${uid}.1`, '00080018': `${uid}.1.${instance}` };
    const elements = Object.fromEntries(
      Object.entries(uids).map(([tag, value]): [string, [string, string]] => [tag, ['UI', value]]),
    );
    await writeFile(file, part10(dataSet({ ...elements, ...more })));
    expect(await orthanc.store([file])).toBe(1);
  };
  const get = async (at: RunningHub, path: string) =>
    at
      .http()
      .get(path)
      .set('authorization', `Bearer ${await at.system(at === asking ? 'asked' : 'announcing')}`);
  const found = async (at: RunningHub, study: number): Promise<FhirResource | undefined> => {
    const { body } = await get(
      at,
      `/fhir/ImagingStudy?identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${uidOf(study)}`)}`,
    );
    return body.entry?.[0]?.resource;
  };
  /** The archive's own identifier of what has this UID. */
  const idOf = async (uid: string): Promise<string> => {
    const answer = await fetch(`${orthanc.orthancUrl}/tools/lookup`, { method: 'POST', body: uid });
    return ((await answer.json()) as { Path: string }[])[0]!.Path;
  };
  const discard = async (uid: string, path?: string): Promise<void> => {
    const answer = await fetch(`${orthanc.orthancUrl}${path ?? (await idOf(uid))}`, { method: 'DELETE' });
    expect(answer.status).toBe(200);
  };
  /** Milliseconds until it is so. */
  const until = async (happened: () => Promise<boolean>): Promise<number> => {
    const begin = performance.now();
    while (!(await happened())) {
      if (performance.now() - begin > 50_000) throw new Error('it did not happen in time');
      await sleep(5);
    }
    return performance.now() - begin;
  };
  const announce = (id: string, token: string | undefined, at = other) => {
    const request = at.http().post(`/sources/${id}/changed`);
    return (token === undefined ? request : request.set('authorization', `Bearer ${token}`)).send();
  };

  it('is found where the archive is asked, and when it grows', async () => {
    await store(1);
    await until(async () => (await found(asking, 1)) !== undefined);
    await store(1, 2);
    await until(async () => (await found(asking, 1))?.numberOfInstances === 2);
  });

  it('is read at once where the archive announces it, even to a process that does not read it', async () => {
    await store(2);
    await until(async () => (await found(hub, 2)) !== undefined);
  });

  describe.each([
    ['asked', 20, () => asking],
    ['announcing', 30, () => hub],
  ] as const)('and is taken back there, %s', (_, n, at) => {
    /** Where it is announced, the archive goes on announcing: a count that it takes long to make is not made each time. */
    const is = async (study: number, what: Partial<FhirResource> | undefined): Promise<number> => {
      const announcing = setInterval(() => void announce('announcing.pacs', TOKEN).catch(() => undefined), 1_000);
      try {
        return await until(async () => {
          const now = await found(at(), study);
          return what === undefined ? now === undefined : Object.entries(what).every(([name, value]) => now?.[name] === value);
        });
      } finally {
        clearInterval(announcing);
      }
    };
    const status = async (path: string): Promise<number> => (await get(at(), path)).status;

    it('a study that is deleted is gone, with its history; one that comes back is the same', async () => {
      await store(n);
      await store(n + 1);
      await is(n, { numberOfInstances: 1 });
      await is(n + 1, { numberOfInstances: 1 });
      const { id } = (await found(at(), n))!;
      await discard(uidOf(n));
      await is(n, undefined);
      expect(await status(`/fhir/ImagingStudy/${id}`)).toBe(410);
      expect(await status(`/dicomweb/studies/${uidOf(n)}`)).toBe(404);
      const history = (await get(at(), `/fhir/ImagingStudy/${id}/_history`)).body;
      expect(history.entry.map((e: { request: { method: string } }) => e.request.method)).toEqual(['DELETE', 'POST']);
      expect(await status(`/fhir/ImagingStudy/${id}/_history/1`)).toBe(200);
      expect((await found(at(), n + 1))?.numberOfInstances).toBe(1);
      await store(n);
      await is(n, { numberOfInstances: 1 });
      expect(await found(at(), n)).toMatchObject({ id, meta: { versionId: '3' } });
      const { rows } = await at().db.pool.query(
        "select subtype, action, detail from audit_event where entity = $1 and type = 'ingest' order by recorded, id",
        [[`ImagingStudy/${id}`]],
      );
      expect(rows.map((row) => [row.subtype, row.action])).toEqual([
        ['submit', 'C'],
        ['study-removed', 'D'],
        ['submit', 'U'],
      ]);
    });

    it('a study of which a part is deleted shrinks', async () => {
      for (const instance of [1, 2, 3]) await store(n + 2, instance);
      await is(n + 2, { numberOfInstances: 3 });
      await discard(`${uidOf(n + 2)}.1.2`);
      await is(n + 2, { numberOfInstances: 2 });
      const { series } = (await found(at(), n + 2))!;
      expect(series[0].instance.map((i: { uid: string }) => i.uid)).toEqual([1, 3].map((i) => `${uidOf(n + 2)}.1.${i}`));
    });

    it('a study that is corrected is the corrected one, and nothing of it is in quarantine', async () => {
      for (const instance of [1, 2]) await store(n + 3, instance, { '00081030': ['LO', 'Thorax wrong'] });
      await is(n + 3, { numberOfInstances: 2, description: 'Thorax wrong' });
      for (const instance of [1, 2]) await store(n + 3, instance, { '00081030': ['LO', 'Abdomen'], '00181030': ['LO', 'x'] });
      await is(n + 3, { numberOfInstances: 2, description: 'Abdomen' });
      for (const instance of [1, 2]) await store(n + 3, instance);
      await until(async () => !('description' in ((await found(at(), n + 3)) ?? {})));
      const held = await at().db.pool.query("select reason, locator from quarantine where state = 'held'");
      expect(held.rows).toEqual([]);
    });

    it('a study that is filed under another patient moves to him, as a whole and no sooner', async () => {
      const other: Record<string, [string, string]> = { '00100010': ['PN', 'Li^Na'], '00100020': ['LO', `P-${n}`] };
      for (const instance of [1, 2]) await store(n + 4, instance);
      await is(n + 4, { numberOfInstances: 2 });
      const before = (await found(at(), n + 4))!;
      const path = await idOf(uidOf(n + 4));
      await store(n + 4, 1, other);
      const held = async () =>
        (await at().db.pool.query("select 1 from quarantine where state = 'held' and study_instance_uid = $1", [uidOf(n + 4)]))
          .rows.length;
      await until(async () => (await held()) > 0);
      expect((await found(at(), n + 4))?.subject).toEqual(before.subject);
      await store(n + 4, 2, other);
      await discard(uidOf(n + 4), path);
      await until(async () => (await found(at(), n + 4))?.subject.reference !== before.subject.reference);
      await until(async () => (await held()) === 0);
      expect(await found(at(), n + 4)).toMatchObject({ id: before.id, numberOfInstances: 2 });
      const patient = (await get(at(), `/fhir/${(await found(at(), n + 4))!.subject.reference}`)).body;
      expect(patient.name[0].text ?? patient.name[0].family).toMatch(/Li/);
    });
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
      // once a minute, however often it announces
      { outcome: 0, agent: 'Device/connector-announcing.pacs', entity: ['Connector/announcing.pacs'], n: expect.any(Number) },
    ]);
  });

  it('is announced by a secret that is stored encrypted, and shown nowhere', async () => {
    const { rows } = await database.db.pool.query('select settings, secrets from connector');
    expect(JSON.stringify(rows)).not.toContain(TOKEN);
    expect(rows.map((row) => row.secrets?.toString('latin1') ?? '').join()).not.toContain(TOKEN);
  });

  it('is read with credentials that no log, no state of a source and no metric shows', async () => {
    await expect(
      asking.hub.sources
        .connectorFor('asked.pacs')
        ?.retrieve({ studyInstanceUid: '1.2.3', representation: 'instances', instances: [] }, new AbortController().signal),
    ).rejects.toThrow('no such object');
    const outbound = createOutbound({ allowedNetworks: ['127.0.0.0/8'] });
    const check = () => checkHospital(asking.db, 'asked', { config: { secret: SECRET, utcOffset: '+08:00' }, outbound });
    await until(async () => (await check()).sources[0]?.backlog === 0);
    const state = await check();
    await outbound.close();
    expect(state.sources).toMatchObject([{ id: 'asked.pacs', backlog: 0, health: { reachable: true } }]);
    const metrics = (await asking.http().get('/metrics')).text;
    expect(metrics).toMatch(/hub_connector_backlog_items\{hospital="asked",connector="asked.pacs",kind="dicomweb"\} 0/);
    const told = logged.join('') + metrics + JSON.stringify(state);
    expect(logged.length).toBeGreaterThan(10);
    for (const secret of [PASSWORD, Buffer.from(`hub:${PASSWORD}`).toString('base64'), TOKEN]) expect(told).not.toContain(secret);
  });

  it('counts what it has not read yet', async () => {
    const connector = asking.hub.sources.connectorFor('asked.pacs');
    const from = (cursor: object) => connector?.backlog?.(JSON.stringify(cursor), new AbortController().signal);
    expect(await from({ orthanc: { changes: 0 } })).toBeGreaterThan(0);
    expect(await from({ orthanc: { changes: 0, listing: { offset: 0 } } })).toBeGreaterThan(0);
    await until(async () => {
      const { rows } = await asking.db.pool.query("select cursor from connector where id = 'asked.pacs'");
      return (await from(JSON.parse(rows[0].cursor))) === 0;
    });
  });

  it('is not looked at further for an address that guesses', async () => {
    const answers = [];
    for (let n = 0; n < 25; n += 1) answers.push((await announce('announcing.pacs', `a-guess-of-a-stranger-${n}`, hub)).status);
    expect(answers.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(answers.slice(20)).toEqual(Array(5).fill(429));
  });
});
