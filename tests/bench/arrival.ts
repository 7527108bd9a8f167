import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { addSource } from '../../hub/ingest/hospital.js';
import { openDatabase } from '../../hub/store/database.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { dataSet, part10 } from '../connectors/support/data-sets.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { NOTIFY_HUB, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { testProtection } from '../support/test-database.js';
import { cpuSeconds, httpClient } from './load.js';

const STORES = Number(process.env.BENCH_STORES ?? 100);
const IDLE_SECONDS = 10;
const CUSTODIAN = { id: 'bench-hospital', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' };

interface Way {
  name: string;
  goal: string;
  /** What the hub is told beside its defaults. */
  environment?: Record<string, string>;
  /** How the hub speaks with the archive, and whether that announces what it stores or sends it on. */
  speaks: 'change log' | 'QIDO-RS' | 'DIMSE';
  announces?: boolean;
  pushes?: boolean;
}

const ways: readonly Way[] = [
  { name: 'polling, Orthanc change log', goal: 'p95 <= 1000 ms', speaks: 'change log' },
  { name: 'polling, QIDO-RS alone', goal: '-', speaks: 'QIDO-RS' },
  { name: 'polling, C-FIND', goal: 'p95 <= 1000 ms', speaks: 'DIMSE' },
  // looks for news are put off, so that nothing but the announcement can bring it
  {
    name: 'push, Lua script',
    goal: 'p95 <= 200 ms',
    speaks: 'change log',
    announces: true,
    environment: { HUB_QUICK_POLL_SECONDS: '60', HUB_POLL_SECONDS: '60' },
  },
  {
    name: 'push, C-STORE',
    goal: 'p95 <= 200 ms',
    speaks: 'DIMSE',
    pushes: true,
    environment: { HUB_QUICK_POLL_SECONDS: '60', HUB_POLL_SECONDS: '60' },
  },
];

/** From the moment that a modality begins to send an object to a real archive (C-STORE) until a search at the hub finds its study. */
export async function arrival(): Promise<void> {
  const dataDir = '.data/bench-arrival';
  mkdirSync('.data', { recursive: true });
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const postgres = await startEmbeddedPostgres({ dataDir });
  console.log('| way | stores | p50 | p95 | max | goal | idle: CPU of the hub | CPU of the archive | transactions/s |');
  console.log('|---|---|---|---|---|---|---|---|---|');
  try {
    for (const way of ways.filter(({ name }) => name.includes(process.env.BENCH_WAY ?? ''))) await printWay(way, postgres.url);
  } finally {
    await postgres.stop();
    await removeEmbeddedPostgres(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function printWay(way: Way, server: string): Promise<void> {
  const databaseUrl = await database(server);
  const port = await freePort();
  const token = randomBytes(24).toString('hex');
  const notify = { LuaScripts: [NOTIFY_HUB], NotifyHub: { Url: `http://127.0.0.1:${port}/sources/pacs/changed`, Token: token } };
  const orthanc = await startOrthanc({ settings: way.announces ? notify : {} });
  const hub = await startHubProcess({ databaseUrl, environment: { HUB_POLL_SECONDS: '5', ...way.environment }, port });
  const folder = await mkdtemp(join(tmpdir(), 'arrival-'));
  try {
    const { token: access } = await joinHospital(hub, CUSTODIAN);
    const listening = await freePort();
    await connect(databaseUrl, orthanc, way, { token, listening });
    const times = await measureArrivals(hub, way.pushes ? listening : orthanc.dicomPort, access, folder);
    const idle = await measureIdle(hub, orthanc, databaseUrl);
    const at = (q: number): string =>
      `${Math.round(times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN)} ms`;
    console.log(`| ${way.name} | ${times.length} | ${at(0.5)} | ${at(0.95)} | ${at(1)} | ${way.goal} | ${idle} |`);
  } finally {
    await hub.stop();
    await orthanc.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function database(server: string): Promise<string> {
  const name = `arrival_${randomBytes(4).toString('hex')}`;
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function connect(
  databaseUrl: string,
  orthanc: Orthanc,
  way: Way,
  { token: notifyToken, listening }: { token: string; listening: number },
): Promise<void> {
  const db = await openDatabase(databaseUrl, { protection: testProtection(), poolSize: 2 });
  const { dicomwebUrl, orthancUrl, dicomPort } = orthanc;
  const web = { baseUrl: dicomwebUrl, ...(way.speaks === 'change log' ? { orthancUrl } : {}) };
  const listen = { port: listening, peers: ['127.0.0.1'], callingAeTitles: ['STORESCU'] };
  const dimse = { host: '127.0.0.1', port: dicomPort, calledAeTitle: 'ORTHANC', aeTitle: 'HUB', listen };
  const [kind, settings] = way.speaks === 'DIMSE' ? ['dimse', dimse] : ['dicomweb', web];
  await addSource(db, { id: 'pacs', organizationId: CUSTODIAN.id, kind, settings, notifyToken }, 'secret-of-the-tests-only');
  while ((await db.pool.query('select 1 from connector where last_success is not null')).rows.length === 0) await sleep(50);
  await db.close();
}

async function measureArrivals(hub: TestHub, dicomPort: number, token: string, folder: string): Promise<number[]> {
  const client = httpClient(hub.url, { authorization: `Bearer ${token}` });
  const times: number[] = [];
  for (let n = 1; n <= STORES; n += 1) {
    const uid = `1.2.826.0.1.3680043.10.1451.78.${n}`;
    const file = join(folder, String(n));
    await writeFile(
      file,
      part10(
        dataSet({
          '0020000D': ['UI', uid],
          '0020000E': ['UI', `${uid}.1`],
          '00080018': ['UI', `${uid}.1.1`],
          '00080020': ['DA', today()],
        }),
      ),
    );
    // out of step with the looks of the hub
    await sleep(Math.random() * 300);
    const begin = performance.now();
    const sending = promisify(execFile)('storescu', ['-aec', 'HUB', '127.0.0.1', String(dicomPort), file], {
      env: { ...process.env, TCP_NODELAY: '1' },
    });
    const query = `/fhir/ImagingStudy?identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${uid}`)}`;
    while (!(await client.call('GET', query, 200)).includes('"ImagingStudy"')) await sleep(5);
    times.push(performance.now() - begin);
    await sending;
  }
  await client.close();
  return times.sort((a, b) => a - b);
}

const today = (): string => new Date().toISOString().slice(0, 10).replaceAll('-', '');

async function measureIdle(hub: TestHub, orthanc: Orthanc, databaseUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const transactions = async (): Promise<number> =>
    Number((await client.query('select xact_commit as n from pg_stat_database where datname = current_database()')).rows[0].n);
  // what was read is sealed into the tree of the audit
  await sleep(8_000);
  const before = {
    hub: cpuSeconds(hub.process.pid ?? 0),
    archive: cpuSeconds(orthanc.pid()),
    transactions: await transactions(),
  };
  await sleep(IDLE_SECONDS * 1000);
  const percent = (seconds: number): string => `${((seconds / IDLE_SECONDS) * 100).toFixed(1)} %`;
  const line = [
    percent(cpuSeconds(hub.process.pid ?? 0) - before.hub),
    percent(cpuSeconds(orthanc.pid()) - before.archive),
    (((await transactions()) - before.transactions) / IDLE_SECONDS).toFixed(1),
  ];
  await client.end();
  return line.join(' | ');
}
