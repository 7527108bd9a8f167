import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { type FaultyLine, startFaultyLine } from '../support/faulty-line.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { filesBelow, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/test-database.js';

const STUDIES = 12;
const SLICES = 6;
const WHOLE = { studies: STUDIES, series: STUDIES * 2, instances: STUDIES * (SLICES + 1), held: 0 };
const uidOf = (n: number): string => `1.2.826.0.1.3680043.10.1451.77.${n}`;

/** Processes of the hub over a real PACS: killed, drained, several at once. What is indexed is the same. */
describe('hub processes that read a PACS', () => {
  let folder: string;
  let orthanc: Orthanc;
  /** To the archive: what is to be read in parts is let through in parts. */
  let line: FaultyLine;
  let database: TestDatabase;
  const running = new Set<TestHub>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killed-'));
    for (let n = 1; n <= STUDIES; n += 1) {
      const study = { uid: uidOf(n), started: '2025-03-04T10:00' };
      const patient = { id: `P-${n}`, name: 'Wang^XiaoDong' };
      await writeChestCt({
        folder: join(folder, String(n)),
        patient,
        study,
        slices: SLICES,
        rows: 16,
        nodules: 0,
        localizer: true,
        seed: n,
      });
    }
    orthanc = await startOrthanc({ folder });
    line = await startFaultyLine(Number(new URL(orthanc.orthancUrl).port));
  });
  afterAll(async () => {
    await line?.stop();
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    database = await testDatabase();
    line.set('passes');
  });
  afterEach(async () => {
    await Promise.all([...running].map((hub) => hub.kill()));
    running.clear();
    await database.close();
  });

  const start = async (environment: Record<string, string> = {}): Promise<TestHub> => {
    const hub = await startHubProcess({ databaseUrl: database.url, environment });
    running.add(hub);
    return hub;
  };
  const kill = (hub: TestHub): Promise<void> => {
    running.delete(hub);
    return hub.kill();
  };
  const stop = (hub: TestHub): Promise<number | null> => {
    running.delete(hub);
    return hub.stop();
  };
  const addPacs = (id = 'a', hasChangeLog = true) => {
    const root = `http://127.0.0.1:${line.port}`;
    const settings = { baseUrl: `${root}/dicom-web`, ...(hasChangeLog ? { orthancUrl: root } : {}) };
    return addSource(database.db, { id: `${id}.pacs`, organizationId: id, kind: 'dicomweb', settings });
  };
  /** Lets it read a little more than before, however slow the machine is. */
  const readSome = async (): Promise<void> => {
    const before = (await counts()).instances;
    line.set('meters');
    await until(async () => {
      line.allow(2_000);
      return (await counts()).instances > before;
    });
  };
  const counts = async (): Promise<typeof WHOLE> =>
    (
      await database.db.pool.query(`select count(*)::int as studies, coalesce(sum((content->>'numberOfSeries')::int), 0)::int as series,
        coalesce(sum((content->>'numberOfInstances')::int), 0)::int as instances, (select count(*)::int from quarantine) as held
        from resource where type = 'ImagingStudy'`)
    ).rows[0];
  const isRead = async (): Promise<boolean> =>
    (await database.db.pool.query('select 1 from connector where last_success is null or last_error is not null')).rows.length ===
    0;
  const search = async (hub: TestHub, token: string) => {
    const answer = await fetch(`${hub.url}/fhir/ImagingStudy?_sort=-started&_count=50`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { entry = [], ...bundle } = (await answer.json()) as { entry?: { resource: { id: string } }[] };
    return {
      status: answer.status,
      ids: entry.map((e) => e.resource.id),
      kind: (bundle as { resourceType?: string }).resourceType,
    };
  };

  it.each([
    ['by its change log', true],
    ['by its listings', false],
  ])(
    'killed in the middle again and again, read the PACS %s to the same end',
    async (_, hasChangeLog) => {
      let hub = await start();
      await joinHospital(hub, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' });
      line.set('stalls');
      await addPacs('a', hasChangeLog);
      const seen: number[] = [];
      for (let kills = 0; kills < 3; kills += 1) {
        await readSome();
        await kill(hub);
        seen.push((await counts()).instances);
        hub = await start();
      }
      expect(seen.at(-1)).toBeLessThan(WHOLE.instances);
      line.set('passes');
      await until(isRead);
      expect(await counts()).toEqual(WHOLE);
      const { rows } = await database.db.pool.query(
        "select count(*)::int as n, count(distinct id)::int as ids from resource where type = 'Patient'",
      );
      expect(rows).toEqual([{ n: STUDIES, ids: STUDIES }]);
      expect(await stop(hub)).toBe(0);
    },
    180_000,
  );

  it('told to end in the middle, drain with status 0, and the next one goes on', async () => {
    const first = await start();
    await joinHospital(first, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' });
    line.set('stalls');
    await addPacs();
    await readSome();
    const draining = stop(first);
    const trickle = setInterval(() => line.allow(2_000), 20);
    expect(await draining).toBe(0);
    clearInterval(trickle);
    line.set('passes');
    const then = await counts();
    expect(then.instances).toBeLessThan(WHOLE.instances);
    await sleep(500);
    expect(await counts()).toEqual(then);
    const second = await start();
    await until(isRead);
    expect(await counts()).toEqual(WHOLE);
    expect(await stop(second)).toBe(0);
  });

  it('told to end while a retrieval runs, let it come to its end', async () => {
    const hub = await start();
    const { token } = await joinHospital(hub, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' });
    await addPacs();
    await until(isRead);
    const answer = await fetch(`${hub.url}/dicomweb/studies/${uidOf(1)}`, { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(200);
    const ended = stop(hub);
    const parts =
      Buffer.from(await answer.arrayBuffer())
        .toString('latin1')
        .split('DICM').length - 1;
    expect(parts).toBe(SLICES + 1);
    expect(await ended).toBe(0);
  });

  it('started at once on an empty database, both come up and drain', async () => {
    const empty = await emptyDatabase();
    try {
      const both = await Promise.all([startHubProcess({ databaseUrl: empty.url }), startHubProcess({ databaseUrl: empty.url })]);
      for (const hub of both) running.add(hub);
      const ready = await Promise.all(both.map(async (hub) => (await fetch(`${hub.url}/readyz`)).status));
      expect(ready).toEqual([200, 200]);
      for (const hub of both) expect(await stop(hub)).toBe(0);
    } finally {
      await empty.drop();
    }
  });

  it('two on one database read each source once and serve the same; when one is killed the other goes on', async () => {
    // One address for both, as behind a load balancer: a token of one is good at the other.
    const [one, other] = (await Promise.all([
      start({ HUB_PUBLIC_URL: 'http://127.0.0.1:1' }),
      start({ HUB_PUBLIC_URL: 'http://127.0.0.1:1' }),
    ])) as [TestHub, TestHub];
    const { token } = await joinHospital(one, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' });
    await joinHospital(one, { id: 'b', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.62' });
    await addPacs('a');
    await addPacs('b');
    await until(isRead);
    expect(await counts()).toEqual({
      ...WHOLE,
      studies: 2 * WHOLE.studies,
      series: 2 * WHOLE.series,
      instances: 2 * WHOLE.instances,
    });
    const claims = await database.db.pool.query(
      "select count(*)::int as n, max(version)::int as version from resource where type = 'Patient'",
    );
    expect(claims.rows).toEqual([{ n: 2 * STUDIES, version: 1 }]);
    const answers = await Promise.all([search(one, token), search(other, token)]);
    expect(answers[0]).toMatchObject({ status: 200, kind: 'Bundle' });
    expect(answers[0]!.ids).toHaveLength(STUDIES);
    expect(answers[1]).toEqual(answers[0]);

    await kill(one);
    const study = { uid: uidOf(STUDIES + 1), started: '2025-03-05T10:00' };
    await writeChestCt({
      folder: join(folder, 'late'),
      patient: { id: 'P-late', name: 'Li^Hong' },
      study,
      slices: 2,
      rows: 16,
      nodules: 0,
    });
    await orthanc.store(await filesBelow(join(folder, 'late')));
    await until(async () => (await counts()).studies === 2 * STUDIES + 2);
    expect((await search(other, token)).ids).toHaveLength(STUDIES + 1);
    expect(await stop(other)).toBe(0);
  });
});

async function until(happened: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 5000; i += 1) {
    if (await happened()) return;
    await sleep(20);
  }
  throw new Error('it did not happen in time');
}
