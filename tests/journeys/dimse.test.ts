import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { dataSet, part10 } from '../connectors/support/data-sets.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { type RunningHub, startHub } from '../support/running-hub.js';

const uidOf = (n: number): string => `1.2.826.0.1.3680043.10.1451.81.${n}`;
const today = new Date().toISOString().slice(0, 10).replaceAll('-', '');
const DAY = 24 * 60 * 60 * 1000;

describe('a PACS that speaks DIMSE alone', () => {
  let folder: string;
  let orthanc: Orthanc;
  let hub: RunningHub;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dimse-'));
    const port = await freePort();
    orthanc = await startOrthanc({
      settings: {
        OverwriteInstances: true,
        DicomModalities: { hub: ['HUB', '127.0.0.1', port] },
        DicomAet: 'ORTHANC',
      },
    });
    hub = await startHub({ config: { pollSeconds: 60, quickPollSeconds: 0.1 } });
    await hub.join([{ id: 'hospital', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.66' }]);
    const listen = { port, peers: ['127.0.0.1'] };
    const settings = { host: '127.0.0.1', port: orthanc.dicomPort, calledAeTitle: 'ORTHANC', listen };
    await addSource(hub.db, { id: 'pacs', organizationId: 'hospital', kind: 'dimse', settings });
    await hub.hub.sources.idle();
  });
  afterAll(async () => {
    await hub?.stop();
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const write = async (study: number, instance = 1, more: Record<string, [string, string]> = {}): Promise<string> => {
    const uid = uidOf(study);
    const file = join(folder, `${study}.${instance}`);
    const uids = { '0020000D': uid, '0020000E': `${uid}.1`, '00080018': `${uid}.1.${instance}` };
    const elements = Object.fromEntries(
      Object.entries(uids).map(([tag, value]): [string, [string, string]] => [tag, ['UI', value]]),
    );
    await writeFile(file, part10(dataSet({ ...elements, '00080020': ['DA', today], '00180015': ['CS', 'CHEST'], ...more })));
    return file;
  };
  const store = async (study: number, instance = 1, more: Record<string, [string, string]> = {}): Promise<void> => {
    expect(await orthanc.store([await write(study, instance, more)])).toBe(1);
  };
  const get = async (path: string) =>
    hub
      .http()
      .get(path)
      .set('authorization', `Bearer ${await hub.system('hospital')}`);
  const found = async (study: number): Promise<FhirResource | undefined> => {
    const query = `identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${uidOf(study)}`)}`;
    return (await get(`/fhir/ImagingStudy?${query}`)).body.entry?.[0]?.resource;
  };
  const rest = async (path: string, method = 'GET', body?: string): Promise<unknown> => {
    const answer = await fetch(`${orthanc.orthancUrl}${path}`, { method, body });
    expect(answer.status).toBe(200);
    return answer.json();
  };
  /** The archive's own path of what has this UID. */
  const pathOf = async (uid: string): Promise<string> =>
    ((await rest('/tools/lookup', 'POST', uid)) as { Path: string }[])[0]!.Path;
  const discard = async (uid: string): Promise<unknown> => rest(await pathOf(uid), 'DELETE');
  /** Has the archive send it to the hub by C-STORE, until the hub has acknowledged it. */
  const push = async (uid: string): Promise<void> => {
    const id = (await pathOf(uid)).split('/').at(-1);
    await rest('/modalities/hub/store', 'POST', JSON.stringify({ Resources: [id], Synchronous: true }));
  };
  const until = async (happened: () => Promise<boolean>): Promise<void> => {
    const begin = performance.now();
    while (!(await happened())) {
      if (performance.now() - begin > 50_000) throw new Error('it did not happen in time');
      await sleep(5);
    }
  };
  const held = async () => (await hub.db.pool.query("select reason, detail from quarantine where state = 'held'")).rows;

  // a look at what is older would take a minute to come
  it('is found soon when it is asked, and when it grows; searched by what the listing says', async () => {
    await store(1);
    await until(async () => (await found(1)) !== undefined);
    await store(1, 2);
    await until(async () => (await found(1))?.numberOfInstances === 2);
    const { body } = await get('/fhir/ImagingStudy?modality=CT&bodysite=816094009');
    expect(body.entry?.map((entry: { resource: FhirResource }) => entry.resource.series[0].bodySite.code)).toEqual(['816094009']);
  });

  it('is found when its push is acknowledged, and its pixels come from it', async () => {
    // So old that no look at what is fresh brings it.
    const old: Record<string, [string, string]> = { '00080020': ['DA', '20010203'] };
    for (let instance = 1; instance <= 20; instance += 1) {
      await store(2, instance, old);
      await push(`${uidOf(2)}.1.${instance}`);
      expect((await found(2))?.numberOfInstances).toBe(instance);
    }
    const answer = await get(`/dicomweb/studies/${uidOf(2)}`);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toContain('multipart/related');
    expect((await get(`/dicomweb/studies/${uidOf(2)}/metadata`)).body).toHaveLength(20);
  });

  it('tells the same by a push and by its listing: in either order nothing is doubled, and nothing contradicts', async () => {
    await store(3);
    await push(uidOf(3));
    await until(async () => (await found(3)) !== undefined);
    await store(3, 2);
    await until(async () => (await found(3))?.numberOfInstances === 2);
    await push(uidOf(3));
    await hub.hub.sources.idle();
    expect(await found(3)).toMatchObject({ numberOfInstances: 2, meta: { versionId: '2' } });
    expect(await held()).toEqual([]);
  });

  it('delivers what is indexed of a study of which it holds more under another patient, and nothing of that', async () => {
    const old: Record<string, [string, string]> = { '00080020': ['DA', '20010204'] };
    await store(7, 1, old);
    await push(`${uidOf(7)}.1.1`);
    await store(7, 2, { ...old, '00100010': ['PN', 'Li^Na'], '00100020': ['LO', 'P-78'] });
    await push(`${uidOf(7)}.1.2`);
    expect((await held()).map((item) => item.reason)).toContain('patient-conflict');
    const { status, body } = await get(`/dicomweb/studies/${uidOf(7)}/metadata`);
    expect([status, body.map((one: Record<string, { Value: string[] }>) => one['00080018']?.Value[0])]).toEqual([
      200,
      [`${uidOf(7)}.1.1`],
    ]);
    await hub.db.pool.query("update quarantine set state = 'discarded'");
  });

  it('is followed: what is deleted there is gone here, what comes back is the same', async () => {
    await store(4);
    await store(5);
    await until(async () => (await found(4)) !== undefined && (await found(5)) !== undefined);
    const { id } = (await found(4))!;
    await discard(uidOf(4));
    await until(async () => (await found(4)) === undefined);
    expect((await get(`/fhir/ImagingStudy/${id}`)).status).toBe(410);
    expect(await found(5)).toBeDefined();
    await store(4);
    await until(async () => (await found(4))?.id === id);
  });

  it('is followed: what shrinks, is corrected, or is filed under another patient is so here', async () => {
    for (const instance of [1, 2, 3]) await store(6, instance, { '00081030': ['LO', 'Thorax wrong'] });
    await until(async () => (await found(6))?.numberOfInstances === 3);
    await discard(`${uidOf(6)}.1.2`);
    await until(async () => (await found(6))?.numberOfInstances === 2);
    await discard(uidOf(6));
    for (const instance of [1, 3]) await store(6, instance, { '00081030': ['LO', 'Thorax'] });
    await until(async () => (await found(6))?.description === 'Thorax');
    const before = (await found(6))!;
    await discard(uidOf(6));
    const other: Record<string, [string, string]> = { '00100010': ['PN', 'Li^Na'], '00100020': ['LO', 'P-77'] };
    for (const instance of [1, 3]) await store(6, instance, other);
    await until(async () => (await found(6))?.subject.reference !== before.subject.reference);
    const { subject } = (await found(6))!;
    expect((await get(`/fhir/${subject.reference}`)).body.identifier[0].value).toBe('P-77');
    await until(async () => (await held()).length === 0);
  });

  it('is listed whole when it is new to the hub, however old its studies are, and those without a date', async () => {
    const dates = [
      '',
      '18991231',
      '19500101',
      '20000229',
      new Date(Date.now() + 40 * DAY).toISOString().slice(0, 10).replaceAll('-', ''),
    ];
    for (const [i, date] of dates.entries()) await store(10 + i, 1, { '00080020': ['DA', date] });
    await hub.hub.sources.reindex('pacs');
    await hub.hub.sources.idle();
    for (const [i, date] of dates.entries())
      expect((await found(10 + i))?.started?.replaceAll('-', '').slice(0, 8) ?? '').toBe(date);
    expect(await held()).toEqual([]);
  });
});
