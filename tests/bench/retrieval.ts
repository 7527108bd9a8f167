import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent } from 'undici';
import { addSource } from '../../hub/ingest/hospital.js';
import { openDatabase } from '../../hub/store/database.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { joinHospital, startHubProcess } from '../support/hub-process.js';
import { startOrthanc } from '../support/orthanc.js';
import { testProtection } from '../support/test-database.js';
import { cpuSeconds } from './load.js';

const STUDY = '1.2.826.0.1.3680043.10.1451.66';
const SLICES = Number(process.env.BENCH_SLICES ?? 200);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const ASKED = { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' };

/** One way to ask for the same study: the paths below the root of a DICOMweb service, and how many at once. */
interface Work {
  name: string;
  paths: string[];
  lanes: number;
}

/** Whom the reader asks. */
interface Side {
  root: string;
  headers: Record<string, string>;
  /** The process between the reader and the archive. */
  pid?: number | undefined;
}

/** What the rounds of one side came to. */
interface Rounds {
  /** Megabytes a second. */
  rates: number[];
  /** Seconds of CPU of the process between, and what it passed on. */
  cpu: number;
  bytes: number;
}

/**
 * Retrieval of a CT study through the hub (authentication, policy, audit, and the policy asked again while it streams) beside the archive that it comes
 * from, a real Orthanc, and beside a bare relay, which is the limit of any Node process between the two; in turns. Goal: at least 0.7 of direct.
 */
export async function retrieval(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-retrieval-'));
  const dataDir = '.data/bench-retrieval';
  mkdirSync('.data', { recursive: true });
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const { files } = await writeChestCt({
    folder,
    patient: { id: 'P-1', name: 'Wang^XiaoDong' },
    study: { uid: STUDY, started: '2025-03-04T10:00' },
    slices: SLICES,
    rows: 512,
    nodules: 0,
  });
  const [orthanc, postgres] = [await startOrthanc({ folder }), await startEmbeddedPostgres({ dataDir })];
  const hub = await startHubProcess({
    databaseUrl: postgres.url,
    nodeArguments: process.env.BENCH_NODE_ARGUMENTS?.split(' '),
  });
  const relay = await startRelay(orthanc.dicomwebUrl);
  const agent = new Agent({ connections: 16, pipelining: 1 });
  try {
    const { token } = await joinHospital(hub, { id: 'bench', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' });
    await indexArchive(postgres.url, orthanc.dicomwebUrl, orthanc.orthancUrl);
    const hubHeaders = { ...ASKED, authorization: `Bearer ${token}` };
    const sides: Side[] = [
      { root: orthanc.dicomwebUrl, headers: ASKED },
      { root: relay.root, headers: ASKED, pid: relay.process.pid },
      { root: `${hub.url}/dicomweb`, headers: hubHeaders, pid: hub.process.pid },
    ];
    await untilRetrievable(agent, sides[2] as Side);
    const instances = files.map((file) => `studies/${STUDY}/series/${file.seriesInstanceUid}/instances/${file.sopInstanceUid}`);
    const works: Work[] = [
      { name: 'a study', paths: [`studies/${STUDY}`], lanes: 1 },
      { name: 'a study, four readers', paths: Array(4).fill(`studies/${STUDY}`), lanes: 4 },
      { name: 'its instances one by one', paths: instances, lanes: 1 },
      { name: 'its instances, four at once', paths: instances, lanes: 4 },
    ];
    console.log('| retrieval | direct | bare relay | ratio | CPU | through the hub | ratio | CPU | goal |');
    console.log('|---|---|---|---|---|---|---|---|---|');
    for (const work of works.filter(({ name }) => name.includes(process.env.BENCH_WORK ?? '')))
      await printWork(agent, sides, work);
  } finally {
    await agent.close();
    relay.process.kill();
    await hub.stop();
    await Promise.all([orthanc.stop(), postgres.stop()]);
    await removeEmbeddedPostgres(dataDir);
    await rm(folder, { recursive: true, force: true });
  }
}

async function printWork(agent: Agent, sides: readonly Side[], work: Work): Promise<void> {
  const all = sides.map((): Rounds => ({ rates: [], cpu: 0, bytes: 0 }));
  for (let round = 0; round <= ROUNDS; round++)
    for (const [i, side] of sides.entries()) {
      const before = side.pid ? cpuSeconds(side.pid) : 0;
      const { bytes, seconds } = await run(agent, side, work);
      // The first round warms up.
      if (round === 0) continue;
      const rounds = all[i] as Rounds;
      rounds.rates.push(bytes / 1e6 / seconds);
      rounds.cpu += side.pid ? cpuSeconds(side.pid) - before : 0;
      rounds.bytes += bytes;
    }
  const [direct = Number.NaN, ...between] = all.map(({ rates }) => median(rates));
  const columns = between.map((rate, i) => {
    const { cpu, bytes } = all[i + 1] as Rounds;
    return `${rate.toFixed(0)} MB/s | ${(rate / direct).toFixed(2)} | ${((cpu * 1e9) / bytes).toFixed(2)} ms/MB`;
  });
  console.log(`| ${work.name} | ${direct.toFixed(0)} MB/s | ${columns.join(' | ')} | >= 0.7 |`);
}

async function startRelay(archive: string): Promise<{ process: ChildProcess; root: string }> {
  const { origin, pathname } = new URL(archive);
  const child = spawn(process.execPath, [fileURLToPath(new URL('./bare-relay.js', import.meta.url))], {
    env: { ...process.env, ARCHIVE: origin },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = await once(createInterface({ input: child.stdout }), 'line');
  return { process: child, root: `http://127.0.0.1:${port}${pathname}` };
}

async function indexArchive(databaseUrl: string, baseUrl: string, orthancUrl: string): Promise<void> {
  const db = await openDatabase(databaseUrl, { protection: testProtection(), poolSize: 2 });
  try {
    await addSource(db, { id: 'bench.pacs', organizationId: 'bench', kind: 'dicomweb', settings: { baseUrl, orthancUrl } });
  } finally {
    await db.close();
  }
}

async function untilRetrievable(agent: Agent, side: Side): Promise<void> {
  for (let i = 0; i < 300; i += 1) {
    const parts = await fetchAll(agent, side, `studies/${STUDY}`).catch(() => 0);
    if (parts > SLICES * 512 * 1024) return;
    await sleep(100);
  }
  throw new Error('the study was not indexed');
}

async function run(agent: Agent, side: Side, { paths, lanes }: Work): Promise<{ bytes: number; seconds: number }> {
  const queue = paths.values();
  let bytes = 0;
  const lane = async (): Promise<void> => {
    for (const path of queue) bytes += await fetchAll(agent, side, path);
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: lanes }, lane));
  return { bytes, seconds: (performance.now() - begin) / 1000 };
}

async function fetchAll(agent: Agent, { root, headers }: Side, path: string): Promise<number> {
  const url = new URL(`${root}/${path}`);
  const answer = await agent.request({ origin: url.origin, path: url.pathname, method: 'GET', headers });
  let bytes = 0;
  for await (const chunk of answer.body) bytes += chunk.length;
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`);
  return bytes;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
