import { execFile } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addSource } from '../../hub/ingest/hospital.js';
import { type Database, openDatabase } from '../../hub/store/database.js';
import { startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { embeddedPlace } from '../../hub/store/embedded-place.js';
import { dataSet, part10 } from '../connectors/support/data-sets.js';
import { type FaultyLine, startFaultyLine } from '../support/faulty-line.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { freePort } from '../support/free-port.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { TEST_SECRET, testProtection } from '../support/test-database.js';

const execute = promisify(execFile);

/** The drill (`npm run drill`) takes a thousand studies and stalls for ten minutes. */
const STUDIES = Number(process.env.OUTAGE_STUDIES ?? 250);
const STALL_MS = Number(process.env.OUTAGE_STALL_SECONDS ?? 3) * 1000;
/** A line that cuts has the hub leave the archive alone for a quarter of a minute: for the drill. */
const LINES = process.env.OUTAGE_STUDIES ? (['stalls', 'cuts', 'trickles'] as const) : (['stalls'] as const);
const LONGEST_MS = STALL_MS * 4 + STUDIES * 1000 + 120_000;

/** The hub, its PostgreSQL and its hospitals' archives as processes that are killed, stalled and starved; what is indexed in the end is the same. */
describe('outages', () => {
  let dataDir: string;
  let isOnDiskOfItsOwn = false;
  let port: number;
  let db: Database;
  let hub: TestHub;
  let token: string;
  let studies: string;
  let pacs: Orthanc;
  let line: FaultyLine;
  /** Lets through what the first kill is to come in the middle of. */
  let metered: FaultyLine;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'outages-'));
    isOnDiskOfItsOwn = await execute('mount', ['-t', 'tmpfs', '-o', 'size=600m,mode=755', 'none', dataDir]).then(
      () => true,
      () => false,
    );
    chmodSync(dataDir, 0o755);
    port = await freePort();
    const { url } = await startEmbeddedPostgres({ dataDir, port });
    studies = await mkdtemp(join(tmpdir(), 'outages-studies-'));
    for (let n = 1; n <= STUDIES; n += 1) for (const i of [1, 2]) await writeStudy(studies, n, i);
    pacs = await startOrthanc({ folder: studies });
    [line, metered] = [await startFaultyLine(portOf(pacs)), await startFaultyLine(portOf(pacs))];
    hub = await startHubProcess({ databaseUrl: url });
    token = (await joinHospital(hub, { id: 'a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.91' })).token;
    db = await openDatabase(url, { protection: testProtection(), poolSize: 2 });
  }, LONGEST_MS);
  afterAll(async () => {
    await hub?.kill();
    await line?.stop();
    await metered?.stop();
    await pacs?.stop();
    await db?.close().catch(() => undefined);
    const at = await embeddedPlace(dataDir);
    await execute(at.pgCtl, ['-D', join(at.folder, 'data'), 'stop', '-m', 'immediate', '-w'], { ...at.user, cwd: '/' }).catch(
      () => undefined,
    );
    if (isOnDiskOfItsOwn) await execute('umount', [dataDir]);
    for (const folder of [dataDir, at.folder, studies]) await rm(folder, { recursive: true, force: true });
  });

  const writeStudy = async (folder: string, study: number, instance: number): Promise<string> => {
    const uid = `1.2.826.0.1.3680043.10.1451.92.${study}`;
    const file = join(folder, `${study}.${instance}.dcm`);
    const uids = { '0020000D': uid, '0020000E': `${uid}.1`, '00080018': `${uid}.1.${instance}` };
    const elements = Object.entries(uids).map(([tag, value]): [string, [string, string]] => [tag, ['UI', value]]);
    await writeFile(file, part10(dataSet({ ...Object.fromEntries(elements), '00100020': ['LO', `P${study}`] })));
    return file;
  };
  const restartHub = async (): Promise<void> => {
    hub = await startHubProcess({ databaseUrl: hub.databaseUrl, port: Number(new URL(hub.url).port) });
  };
  const killDatabase = async (): Promise<void> => {
    const at = await embeddedPlace(dataDir);
    const pid = Number(readFileSync(join(at.folder, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL');
  };
  const startDatabase = async (): Promise<unknown> => startEmbeddedPostgres({ dataDir, port });
  const status = async (path: string): Promise<number> => (await fetch(`${hub.url}${path}`)).status;
  const until = async (what: string, happened: () => Promise<boolean>): Promise<void> => {
    const end = Date.now() + LONGEST_MS / 2;
    while (!(await happened().catch(() => false))) {
      if (Date.now() > end) throw new Error(`it did not happen in time: ${what}`);
      await sleep(20);
    }
  };
  const indexed = async (hospital: string): Promise<number> => (await count(hospital)).studies;
  const count = async (hospital: string) => {
    const { rows } = await db.pool.query(
      `select count(*)::int as studies, coalesce(sum((content->>'numberOfInstances')::int), 0)::int as instances,
        (select count(*)::int from quarantine where custodian_id = $1 and state = 'held') as held,
        (select count(*)::int from resource where type = 'Patient' and custodian_id = $1) as patients
        from resource where type = 'ImagingStudy' and custodian_id = $1 and not deleted`,
      [hospital],
    );
    return rows[0] as { studies: number; instances: number; held: number; patients: number };
  };
  const whole = (n: number) => ({ studies: n, instances: 2 * n, held: 0, patients: n });
  const portOf = (of: Orthanc): number => Number(new URL(of.orthancUrl).port);
  const archive = (root: string) => ({ baseUrl: `${root}/dicom-web`, orthancUrl: root });
  const find = async (): Promise<number> => {
    const answer = await fetch(`${hub.url}/fhir/ImagingStudy?_count=1&_total=accurate`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return answer.status;
  };

  it(
    'the hub, the archive and the database killed in turn in the middle of a reading: every study is indexed, once',
    async () => {
      await addSource(
        db,
        { id: 'a.pacs', organizationId: 'a', kind: 'dicomweb', settings: archive(`http://127.0.0.1:${metered.port}`) },
        TEST_SECRET,
      );
      const kills: [string, () => Promise<void>, () => Promise<unknown>][] = [
        ['database', killDatabase, startDatabase],
        ['archive', () => pacs.kill(), () => pacs.restart()],
        ['hub', () => hub.kill(), restartHub],
        ['database', killDatabase, startDatabase],
        ['archive', () => pacs.kill(), () => pacs.restart()],
        ['hub', () => hub.kill(), restartHub],
      ];
      const seen: number[] = [];
      metered.set('meters');
      for (const [what, kill, start] of kills) {
        const before = await indexed('a');
        await until(`more is read before the ${what} is killed`, async () => {
          if (seen.length === 0) metered.allow(20_000);
          const now = await indexed('a');
          return now > before || now === STUDIES;
        });
        await kill();
        if (what === 'database') {
          await until('the hub says that it is not ready', async () => (await status('/readyz')) === 503);
          expect(await status('/healthz')).toBe(200);
          expect(await find()).toBe(503);
        }
        await start();
        await until(`the hub is ready after the ${what} came back`, async () => (await status('/readyz')) === 200);
        await until('the database answers', async () => (await indexed('a')) >= before);
        seen.push(await indexed('a'));
        metered.set('passes');
      }
      expect(seen[0]).toBeLessThan(STUDIES);
      await until('everything is read', async () => (await indexed('a')) === STUDIES && (await count('a')).held === 0);
      expect(await count('a')).toEqual(whole(STUDIES));
      expect(await find()).toBe(200);
    },
    LONGEST_MS,
  );

  it.each(LINES)(
    'a line that %s stops its own hospital only, and loses nothing',
    async (state) => {
      const [bad, good] = [`bad-${state}`, `good-${state}`];
      for (const id of [bad, good])
        await joinHospital(hub, { id, assigner: `urn:oid:1.2.826.0.1.3680043.10.1451.91.${id.length}` });
      const settings = { ...archive(`http://127.0.0.1:${line.port}`), timeouts: { headersMs: 1000, idleMs: 1000 } };
      line.set('meters');
      await addSource(db, { id: `${bad}.pacs`, organizationId: bad, kind: 'dicomweb', settings }, TEST_SECRET);
      await until('it reads', async () => {
        line.allow(20_000);
        return (await indexed(bad)) > 0;
      });
      line.set(state);
      const folder = await mkdtemp(join(tmpdir(), 'outages-good-'));
      try {
        await addSource(db, { id: `${good}.folder`, organizationId: good, kind: 'folder', settings: { root: folder } });
        await sleep(STALL_MS);
        expect(await indexed(bad)).toBeLessThan(STUDIES);
        await writeStudy(folder, 9001, 1);
        await writeStudy(folder, 9001, 2);
        await until('the other hospital’s study is found', async () => (await count(good)).instances === 2);
        expect(await indexed(bad)).toBeLessThan(STUDIES);
        expect(await status('/readyz')).toBe(200);
        line.set('passes');
        await until('it catches up', async () => (await indexed(bad)) === STUDIES && (await count(bad)).held === 0);
        expect(await count(bad)).toEqual(whole(STUDIES));
        expect(await count(good)).toEqual(whole(1));
      } finally {
        line.set('passes');
        await db.pool.query('update connector set enabled = false where organization_id = any($1)', [[bad, good]]);
        await rm(folder, { recursive: true, force: true });
      }
    },
    LONGEST_MS,
  );

  it(
    'a full disk of the database: nothing is acknowledged that is not kept, and the hub goes on when there is room',
    async () => {
      if (!isOnDiskOfItsOwn) return console.warn('SKIPPED: a disk of its own can not be mounted here (needs root)');
      const filler = join(dataDir, 'filler');
      const folder = await mkdtemp(join(tmpdir(), 'outages-full-'));
      try {
        await joinHospital(hub, { id: 'full', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.93' });
        await addSource(db, { id: 'full.folder', organizationId: 'full', kind: 'folder', settings: { root: folder } });
        await execute('dd', ['if=/dev/zero', `of=${filler}`, 'bs=1M']).catch(() => undefined);
        for (let n = 1; n <= STUDIES; n += 1) for (const i of [1, 2]) await writeStudy(folder, 20_000 + n, i);
        await sleep(STALL_MS);
        expect(await status('/healthz')).toBe(200);
        await rm(filler);
        await startDatabase(); // which a full disk may have ended
        await until('the hub is ready', async () => (await status('/readyz')) === 200);
        await until('all is read', async () => (await indexed('full')) === STUDIES);
        expect(await count('full')).toEqual(whole(STUDIES));
        expect(await count('a')).toEqual(whole(STUDIES));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    LONGEST_MS,
  );
});
