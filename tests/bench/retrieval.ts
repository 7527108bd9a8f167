import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { addSource } from '../../hub/ingest/hospital.js';
import { openDatabase } from '../../hub/store/database.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { joinHospital, startHubProcess } from '../support/hub-process.js';
import { startOrthanc } from '../support/orthanc.js';
import { testProtection } from '../support/test-database.js';

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

/**
 * Retrieval of a CT study through the hub (authentication, policy, audit, and the policy asked again while it streams) beside the archive that it comes
 * from, a real Orthanc, in turns. Goal: at least 0.7 of direct.
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
  const agent = new Agent({ connections: 16, pipelining: 1 });
  try {
    const { token } = await joinHospital(hub, { id: 'bench', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' });
    await indexArchive(postgres.url, orthanc.dicomwebUrl, orthanc.orthancUrl);
    const through = { root: `${hub.url}/dicomweb`, headers: { ...ASKED, authorization: `Bearer ${token}` } };
    const direct = { root: orthanc.dicomwebUrl, headers: ASKED };
    await untilRetrievable(agent, through);
    const instances = files.map((file) => `studies/${STUDY}/series/${file.seriesInstanceUid}/instances/${file.sopInstanceUid}`);
    const works: Work[] = [
      { name: 'a study', paths: [`studies/${STUDY}`], lanes: 1 },
      { name: 'a study, four readers', paths: Array(4).fill(`studies/${STUDY}`), lanes: 4 },
      { name: 'its instances one by one', paths: instances, lanes: 1 },
      { name: 'its instances, four at once', paths: instances, lanes: 4 },
    ];
    console.log('| retrieval | direct | through the hub | ratio | goal |\n|---|---|---|---|---|');
    for (const work of works) {
      const rates = { direct: [] as number[], through: [] as number[] };
      for (let round = 0; round <= ROUNDS; round++) {
        const pair = { direct: await rate(agent, direct, work), through: await rate(agent, through, work) };
        // The first round warms up.
        if (round > 0) for (const side of ['direct', 'through'] as const) rates[side].push(pair[side]);
      }
      const [d, t] = [median(rates.direct), median(rates.through)];
      console.log(`| ${work.name} | ${d.toFixed(0)} MB/s | ${t.toFixed(0)} MB/s | ${(t / d).toFixed(2)} | >= 0.7 |`);
    }
  } finally {
    await agent.close();
    await hub.stop();
    await Promise.all([orthanc.stop(), postgres.stop()]);
    await removeEmbeddedPostgres(dataDir);
    await rm(folder, { recursive: true, force: true });
  }
}

async function indexArchive(databaseUrl: string, baseUrl: string, orthancUrl: string): Promise<void> {
  const db = await openDatabase(databaseUrl, { protection: testProtection(), poolSize: 2 });
  try {
    await addSource(db, { id: 'bench.pacs', organizationId: 'bench', kind: 'dicomweb', settings: { baseUrl, orthancUrl } });
  } finally {
    await db.close();
  }
}

interface Side {
  root: string;
  headers: Record<string, string>;
}

async function untilRetrievable(agent: Agent, side: Side): Promise<void> {
  for (let i = 0; i < 300; i += 1) {
    const parts = await fetchAll(agent, side, `studies/${STUDY}`).catch(() => 0);
    if (parts > SLICES * 512 * 1024) return;
    await sleep(100);
  }
  throw new Error('the study was not indexed');
}

/** Megabytes a second. */
async function rate(agent: Agent, side: Side, { paths, lanes }: Work): Promise<number> {
  const queue = paths.values();
  let bytes = 0;
  const lane = async (): Promise<void> => {
    for (const path of queue) bytes += await fetchAll(agent, side, path);
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: lanes }, lane));
  return bytes / 1e3 / (performance.now() - begin);
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
