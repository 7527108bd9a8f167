import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { dcmtk } from '../support/dcmtk.js';
import { type FaultyLine, startFaultyLine } from '../support/faulty-line.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

const STUDIES = 10;
const SLICES = 8;
const WHOLE = { studies: STUDIES, instances: STUDIES * SLICES, listed: STUDIES * SLICES, held: 0 };
const uidOf = (n: number): string => `1.2.826.0.1.3680043.10.1451.82.${n}`;

/** The hub's process and the PACS', each killed while the other is at work. */
describe('a hub and a PACS that speak DIMSE', () => {
  let folder: string;
  let orthanc: Orthanc;
  let database: TestDatabase;
  let hub: TestHub;
  let token: string;
  let port: number;
  /** To the archive, and to the hub: what is to go half the way is let through in parts. */
  let toPacs: FaultyLine;
  let toHub: FaultyLine;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killed-dimse-'));
    for (let n = 1; n <= STUDIES; n += 1)
      await writeChestCt({
        folder: join(folder, String(n)),
        patient: { id: `P-${n}`, name: 'Wang^XiaoDong' },
        study: { uid: uidOf(n), started: '2025-03-04T10:00' },
        ...{ slices: SLICES, rows: 64, nodules: 0, seed: n },
      });
    orthanc = await startOrthanc({ folder });
    toPacs = await startFaultyLine(orthanc.dicomPort);
  });
  afterAll(async () => {
    await toPacs?.stop();
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    database = await testDatabase();
    port = await freePort();
    toHub = await startFaultyLine(port);
    toPacs.set('passes');
    hub = await start();
    ({ token } = await joinHospital(hub, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.67' }));
  });
  afterEach(async () => {
    await hub.kill();
    await toHub.stop();
    await database.close();
  });

  const start = (): Promise<TestHub> => startHubProcess({ databaseUrl: database.url });
  const add = (id: string, kind: string, settings: object, organizationId = 'a') =>
    addSource(database.db, { id, organizationId, kind, settings: settings as Record<string, unknown> });
  const pacs = (at = toPacs.port) =>
    add('a.pacs', 'dimse', {
      ...{ host: '127.0.0.1', port: at, calledAeTitle: 'ORTHANC', maxConcurrent: 3 },
      listen: { port, peers: ['127.0.0.1'], callingAeTitles: ['PACS'] },
    });
  const counts = async (organization = 'a'): Promise<typeof WHOLE> =>
    (
      await database.db.pool.query(
        `select count(*)::int as studies, coalesce(sum((content->>'numberOfInstances')::int), 0)::int as instances,
          (select count(*)::int from imaging_instance where custodian_id = $1) as listed,
          (select count(*)::int from quarantine where custodian_id = $1 and state = 'held') as held
        from resource where type = 'ImagingStudy' and custodian_id = $1`,
        [organization],
      )
    ).rows[0];
  const until = async (happened: () => Promise<boolean>): Promise<void> => {
    for (let i = 0; i < 5_000; i += 1) {
      if (await happened()) return;
      await sleep(20);
    }
    throw new Error('it did not happen in time');
  };
  const isWhole = async (organization = 'a'): Promise<boolean> => {
    const now = await counts(organization);
    return now.instances === WHOLE.instances && now.held === 0;
  };
  const push = (at = port) => dcmtk('storescu', ['-v', '-aet', 'PACS', '-aec', 'HUB', '127.0.0.1', at, '+sd', '+r', folder]);
  const metered = (line: FaultyLine, happened: () => Promise<boolean>): Promise<void> => {
    line.set('meters');
    return until(async () => {
      line.allow(2_000);
      return happened();
    });
  };
  const acknowledged = (output: string): number => output.split('Received Store Response (Success)').length - 1;

  it('the hub killed while it takes a push has what it acknowledged; sent again, nothing is doubled', async () => {
    // A PACS that is away: what comes is pushed.
    await pacs(1);
    await until(async () => (await dcmtk('echoscu', ['-aet', 'PACS', '-aec', 'HUB', '127.0.0.1', port])).status === 0);
    const sending = push(toHub.port);
    await metered(toHub, async () => (await counts()).listed >= 20);
    await hub.kill();
    toHub.set('passes');
    const { output, status } = await sending;
    expect(status).not.toBe(0);
    expect((await counts()).listed).toBeGreaterThanOrEqual(acknowledged(output));
    expect(acknowledged(output)).toBeLessThan(WHOLE.listed);
    hub = await start();
    await until(async () => (await dcmtk('echoscu', ['-aet', 'PACS', '-aec', 'HUB', '127.0.0.1', port])).status === 0);
    expect(acknowledged((await push()).output)).toBe(WHOLE.listed);
    expect(await counts()).toEqual(WHOLE);
  });

  it('the PACS killed while it is listed is read to its end when it is back, and another hospital notices nothing', async () => {
    await database.db.pool.query(
      "insert into organization (id, kind, name, assigner_system) values ('b', 'hospital', 'b', 'urn:oid:1.2.9')",
    );
    await pacs();
    await metered(toPacs, async () => (await counts()).listed > 0);
    await orthanc.kill();
    expect((await counts()).listed).toBeLessThan(WHOLE.listed);
    toPacs.set('passes');
    const restarting = orthanc.restart();
    await add('b.files', 'folder', { root: folder }, 'b');
    await until(() => isWhole('b'));
    await restarting;
    await until(() => isWhole());
    expect(await counts()).toEqual(WHOLE);
  });

  it('the hub killed while it lists reads the PACS to the same end', async () => {
    await pacs();
    await metered(toPacs, async () => (await counts()).listed > 0);
    await hub.kill();
    toPacs.set('passes');
    hub = await start();
    await until(() => isWhole());
    expect(await counts()).toEqual(WHOLE);
  });

  it('the PACS killed while it delivers breaks the answer off; the hub goes on', async () => {
    await pacs();
    await until(() => isWhole());
    const ask = () => fetch(`${hub.url}/dicomweb/studies/${uidOf(1)}`, { headers: { authorization: `Bearer ${token}` } });
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        if (i === 6) await orthanc.kill();
        try {
          const answer = await ask();
          const parts =
            Buffer.from(await answer.arrayBuffer())
              .toString('latin1')
              .split('DICM').length - 1;
          return answer.status === 200 ? parts === SLICES : answer.status;
        } catch {
          return 'broken';
        }
      }),
    );
    // Whole, refused, or broken off; never a part that looks whole.
    for (const outcome of outcomes) expect([true, 404, 429, 502, 504, 'broken']).toContain(outcome);
    expect((await fetch(`${hub.url}/readyz`)).status).toBe(200);
    expect(await counts()).toEqual(WHOLE);
    await orthanc.restart();
  });
});
