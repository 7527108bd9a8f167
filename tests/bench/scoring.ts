import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systems } from '../../fhir-profiles/codes.js';
import { addSource } from '../../hub/ingest/hospital.js';
import { openDatabase } from '../../hub/store/database.js';
import { createResources } from '../../hub/store/resources.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import type { Manifest } from '../../models/manifest.js';
import { listModels, modelsFolder } from '../../models/model-package.js';
import { writeChestCt } from '../../models/phantoms/chest-ct.js';
import { drawFundus } from '../../models/phantoms/fundus.js';
import { writeHeadCt } from '../../models/phantoms/head-ct.js';
import { drawMammogram } from '../../models/phantoms/mammogram.js';
import { codeColour, writePicture } from '../../models/phantoms/write-picture.js';
import { scoreStudy } from '../../models/runtime.js';
import { joinHospital, startHubProcess } from '../support/hub-process.js';
import { codeGrey, mammographyForPresentation, ophthalmicPhotography } from '../models/pictures.js';
import { startOrthanc } from '../support/orthanc.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { testProtection } from '../support/test-database.js';
import { httpClient, type Measured, measure } from './load.js';

/**
 * Scoring, from the request (a Task by HTTP) to the published report, in a hub with an archive, both real: a representative case for each
 * model, beside the same case in plain Python (`BENCH_PYTHON` names the interpreter); and the search of others while it goes on.
 * Goals: a CT of 200 slices within 5 s and 1.5 GB; the search's p99 at most twice what it is when idle.
 */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 2);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 6);
const UID = '1.2.826.0.1.3680043.10.1451.88';
const LIMIT_SECONDS = 60;

/** A case that a model is tried on: a study in the archive, or values of a laboratory. */
interface Case {
  model: string;
  what: string;
  study?: { uid: string; folder: string };
}

type Client = ReturnType<typeof httpClient>;
type Json = { id: string; status: string; [name: string]: unknown };

export async function scoring(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-scoring-'));
  const dataDir = '.data/bench-scoring';
  mkdirSync('.data', { recursive: true });
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const cases = await writeCases(folder);
  const [orthanc, postgres] = [await startOrthanc({ folder }), await startEmbeddedPostgres({ dataDir })];
  const hub = await startHubProcess({
    databaseUrl: postgres.url,
    workers: 1,
    environment: { HUB_RESEARCH_MODELS: 'true' },
  });
  const { token } = await joinHospital(hub, { id: 'bench', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' });
  const client = httpClient(hub.url, { 'content-type': 'application/fhir+json', authorization: `Bearer ${token}` });
  try {
    await readArchive(postgres.url, orthanc.dicomwebUrl, orthanc.orthancUrl);
    for (const { study } of cases) if (study) await untilIndexed(client, study);
    await printCases(client, cases);
    await printPython(cases);
    await printSearch(client, cases[0]!);
  } finally {
    await client.close();
    await hub.stop();
    await Promise.all([orthanc.stop(), postgres.stop()]);
    await removeEmbeddedPostgres(dataDir);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Phantoms of the sizes that hospitals send. A model without a case is named: it is not measured. */
async function writeCases(root: string): Promise<Case[]> {
  const about = (id: string, part: string) => ({
    folder: join(root, id),
    patient: { id, name: 'Wang^XiaoDong' },
    study: { uid: `${UID}.${part}`, started: '2025-03-04T10:00' },
  });
  const chest = about('chest', '1');
  const head = about('head', '2');
  await writeChestCt({ ...chest, slices: 200, rows: 512, sliceSpacingMm: 1.5, nodules: 3 });
  await writeHeadCt({ ...head });
  const eye = about('eye', '3');
  const breast = about('breast', '4');
  await writePicture(
    eye,
    { number: 1, sopClassUid: ophthalmicPhotography, modality: 'OP', elements: [[0x00200062, 'CS', 'R']] },
    codeColour(drawFundus({ columns: 4288, lesions: 40 }), 'RGB'),
  );
  await writePicture(
    breast,
    {
      number: 1,
      sopClassUid: mammographyForPresentation,
      modality: 'MG',
      elements: [
        [0x00185101, 'CS', 'MLO'],
        [0x00200062, 'CS', 'R'],
      ],
    },
    codeGrey(drawMammogram({ rows: 3328 }), []),
  );
  const studies: Record<string, [what: string, study?: Case['study']]> = {
    'pulmonary-nodule': ['CT of 200 slices', { uid: chest.study.uid, folder: chest.folder }],
    'covid-ct': ['CT of 200 slices', { uid: chest.study.uid, folder: chest.folder }],
    'cerebral-haemorrhage': ['CT of a head', { uid: head.study.uid, folder: head.folder }],
    'diabetic-retinopathy': ['photograph of 12 million pixels', { uid: eye.study.uid, folder: eye.folder }],
    'breast-mammography': ['mammogram of 3328 rows', { uid: breast.study.uid, folder: breast.folder }],
    'proteomic-severity': ['20 proteins'],
  };
  const runnable = (await listModels()).filter((model) => model.runnable).map(({ manifest }) => manifest.name);
  const missing = runnable.filter((name) => !studies[name]);
  if (missing.length > 0) console.log(`NOT MEASURED, as there is no case for it: ${missing.join(', ')}`);
  return Object.entries(studies)
    .filter(([name]) => runnable.includes(name))
    .map(([model, [what, study]]) => ({ model, what, ...(study ? { study } : {}) }));
}

/** The hospital that asks, and its archive. */
async function readArchive(databaseUrl: string, baseUrl: string, orthancUrl: string): Promise<void> {
  const db = await openDatabase(databaseUrl, { protection: testProtection(), poolSize: 2 });
  try {
    const hospital = { resource: { resourceType: 'Organization', id: 'bench', name: 'bench' }, custodianId: '' };
    await createResources(db, [hospital]);
    await addSource(db, { id: 'bench.pacs', organizationId: 'bench', kind: 'dicomweb', settings: { baseUrl, orthancUrl } });
  } finally {
    await db.close();
  }
}

async function untilIndexed(client: Client, { uid, folder }: { uid: string; folder: string }): Promise<void> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length;
  for (let i = 0; i < 600; i++) {
    const [study] = await search(client, uid);
    if (study?.numberOfInstances === files) return;
    await sleep(100);
  }
  throw new Error('the study was not indexed');
}

const pathOf = (uid: string): string =>
  `/fhir/ImagingStudy?identifier=${encodeURIComponent(`${systems.dicomUid}|urn:oid:${uid}`)}`;

async function search(client: Client, uid: string): Promise<Json[]> {
  const bundle = JSON.parse(await client.call('GET', pathOf(uid), 200)) as { entry?: { resource: Json }[] };
  return (bundle.entry ?? []).map(({ resource }) => resource);
}

async function printCases(client: Client, cases: readonly Case[]): Promise<void> {
  console.log(`${availableParallelism()} processors\n`);
  console.log(
    '| model | case | request to report | studies/h | process alone: reading, computing, measuring | its peak memory | goal |',
  );
  console.log('|---|---|---|---|---|---|---|');
  for (const one of cases) {
    const focus = await focusOf(client, one);
    const times: number[] = [];
    // The first warms up.
    for (let round = 0; round <= ROUNDS; round++) times.push(await requestToReport(client, one.model, focus));
    const ms = median(times.slice(1));
    const alone = one.study ? await scoreAlone(one.model, one.study.folder) : '- | -';
    const goal = one.what.includes('200') ? '<= 5 s, < 1.5 GB' : '-';
    console.log(`| ${one.model} | ${one.what} | ${Math.round(ms)} ms | ${Math.round(3_600_000 / ms)} | ${alone} | ${goal} |`);
  }
}

async function scoreAlone(model: string, folder: string): Promise<string> {
  const outcome = await scoreStudy({ model, folder });
  if (!outcome.ok) return `${outcome.code} | -`;
  const { stagesMs, peakMemoryBytes } = outcome.value;
  const stages = [stagesMs.reading, stagesMs.computing, stagesMs.measuring].map((ms) => `${Math.round(ms ?? 0)}`);
  return `${stages.join(', ')} ms | ${Math.round(peakMemoryBytes / 1e6)} MB`;
}

interface Focus {
  reference: string;
  patient: string;
}

async function focusOf(client: Client, { model, study }: Case): Promise<Focus> {
  if (!study) return laboratoryReport(client, model);
  const [found] = await search(client, study.uid);
  return { reference: `ImagingStudy/${found!.id}`, patient: (found!.subject as { reference: string }).reference };
}

async function laboratoryReport(client: Client, model: string): Promise<Focus> {
  const { manifest } = (await listModels()).find((one) => one.manifest.name === model)!;
  const { codes, unit } = manifest.accepts.observations as NonNullable<Manifest['accepts']['observations']>;
  const post = async (resource: FhirResource): Promise<Json> =>
    JSON.parse(await client.call('POST', `/fhir/${resource.resourceType}`, 201, JSON.stringify(resource)));
  const { id } = await post({ resourceType: 'Patient', name: [{ text: '王小东' }] });
  const about = { status: 'final', subject: { reference: `Patient/${id}` }, effectiveDateTime: '2025-03-04T08:00:00+08:00' };
  const result: { reference: string }[] = [];
  for (const coding of codes) {
    const valueQuantity = { value: 1, system: systems.ucum, code: unit };
    const observation = await post({ resourceType: 'Observation', ...about, code: { coding: [coding] }, valueQuantity });
    result.push({ reference: `Observation/${observation.id}` });
  }
  const code = { coding: [{ system: systems.loinc, code: '11502-2' }] };
  const report = await post({ resourceType: 'DiagnosticReport', ...about, code, result });
  return { reference: `DiagnosticReport/${report.id}`, patient: `Patient/${id}` };
}

/** Milliseconds from the request until its Task is completed, which is when its report is published. */
async function requestToReport(client: Client, model: string, { reference, patient }: Focus): Promise<number> {
  const task = {
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
    focus: { reference },
    for: { reference: patient },
    requester: { reference: 'Organization/bench' },
    input: [{ type: { text: 'model' }, valueString: model }],
  };
  const begin = performance.now();
  const { id } = JSON.parse(await client.call('POST', '/fhir/Task', 201, JSON.stringify(task))) as Json;
  while (performance.now() - begin < LIMIT_SECONDS * 1000) {
    const now = JSON.parse(await client.call('GET', `/fhir/Task/${id}`, 200)) as Json;
    if (now.status === 'completed') return performance.now() - begin;
    if (now.status === 'failed') throw new Error(`${model}: ${JSON.stringify(now.statusReason)}`);
    await sleep(20);
  }
  throw new Error(`${model}: no report within ${LIMIT_SECONDS} s`);
}

/** The same case by the script beside this one, in a process of its own. */
async function printPython(cases: readonly Case[]): Promise<void> {
  const python = process.env.BENCH_PYTHON;
  if (!python)
    return console.log('\nNOT MEASURED: plain Python, as BENCH_PYTHON names no interpreter with onnxruntime, pydicom and scipy');
  const one = cases.find(({ model }) => model === 'pulmonary-nodule');
  if (!one?.study) return;
  const script = fileURLToPath(new URL('../../../tests/bench/scoring.py', import.meta.url));
  const begin = performance.now();
  const { stdout } = await promisify(execFile)(python, [script, join(modelsFolder, one.model), one.study.folder]);
  const { stagesMs, peakMb } = JSON.parse(stdout) as { stagesMs: Record<string, number>; peakMb: number };
  const stages = Object.entries(stagesMs).map(([stage, ms]) => `${stage} ${ms}`);
  console.log(
    `\nplain Python, ${one.model}, ${one.what}, files on this disk: ${Math.round(performance.now() - begin)} ms (${stages.join(', ')}), ${peakMb} MiB`,
  );
}

/** What others notice of it: a search, one after the other, while jobs follow each other, beside the same search when nothing is scored. */
async function printSearch(client: Client, one: Case): Promise<void> {
  const focus = await focusOf(client, one);
  const look = async (): Promise<void> => void (await client.call('GET', pathOf(one.study?.uid ?? UID), 200));
  const load = { concurrency: 2, seconds: SECONDS };
  const idle = await measure(look, load);
  let isOver = false;
  const jobs = (async () => {
    while (!isOver) await requestToReport(client, one.model, focus);
  })();
  const busy = await measure(look, load).finally(() => {
    isOver = true;
  });
  await jobs;
  const text = ({ perSecond, p50, p99 }: Measured): string =>
    `${Math.round(perSecond)}/s, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ms`;
  console.log('\n| search by two clients | idle | while scoring | p50 ratio | p99 ratio | goal |\n|---|---|---|---|---|---|');
  const ratio = (of: 'p50' | 'p99'): string => (busy[of] / idle[of]).toFixed(2);
  console.log(`| ${one.model} | ${text(idle)} | ${text(busy)} | ${ratio('p50')} | ${ratio('p99')} | p99 <= 2 |`);
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
