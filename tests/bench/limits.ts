import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { joinHospital, type TestHub, startHubProcess } from '../support/hub-process.js';
import { httpClient, type Measured, measure } from './load.js';
import { studyOf } from './province.js';

/**
 * What the hub reaches beside its limits, measured in the same run on the same database: raw `pg`, and bare hapi + pg
 * without authentication, validation, policy or audit. The figures are ratios; absolute ones belong to the machine.
 */
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const PATIENTS = 1000;
const STUDIES_EACH = 5;

interface Row {
  work: string;
  hub: Measured;
  raw: Measured | undefined;
  bare: Measured | undefined;
  goal: string;
}

export async function limits(): Promise<void> {
  const dataDir = '.data/bench';
  mkdirSync('.data', { recursive: true });
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const postgres = await startEmbeddedPostgres({ dataDir });
  const hub = await startHubProcess({
    databaseUrl: postgres.url,
    workers: 0,
    nodeArguments: process.env.BENCH_NODE_ARGUMENTS?.split(' '),
  });
  const bare = await startBare(postgres.url);
  const pool = new pg.Pool({ connectionString: postgres.url, max: 16 });
  try {
    const rows = await measureAll(hub, bare.port, pool);
    print(rows);
    await printBytes(pool);
  } finally {
    await pool.end();
    bare.process.kill();
    await hub.stop();
    await postgres.stop();
    await removeEmbeddedPostgres(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measureAll(hub: TestHub, barePort: number, pool: pg.Pool): Promise<Row[]> {
  const { token } = await joinHospital(hub, { id: 'bench-hospital', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' });
  const json = { 'content-type': 'application/fhir+json', authorization: `Bearer ${token}` };
  const client = httpClient(hub.url, json);
  const bare = httpClient(`http://127.0.0.1:${barePort}`, { 'content-type': 'application/json' });
  const patients = await seedPatients(client);
  await seedStudies(client, patients, pool);
  const patient = (i: number): string => patients[i % patients.length] ?? '';
  const ids = (
    await pool.query<{ id: string }>("select id from resource where type = 'ImagingStudy' order by id limit 1000")
  ).rows.map((r) => r.id);
  const id = (i: number): string => ids[i % ids.length] ?? '';
  await pool.query('analyze');
  const rows: Row[] = [
    {
      work: 'create one by one',
      hub: await measure(
        async (i) => void (await client.call('POST', '/fhir/ImagingStudy', 201, JSON.stringify(studyOf(patient(i))))),
        { seconds: SECONDS },
      ),
      raw: await measure(async (i) => rawInsert(pool, [studyOf(patient(i))]), { seconds: SECONDS }),
      bare: await measure(
        async (i) =>
          void (await bare.call('POST', '/ImagingStudy', 201, JSON.stringify({ ...studyOf(patient(i)), id: randomUUID() }))),
        { seconds: SECONDS },
      ),
      goal: '>= 0.5 of bare',
    },
    {
      work: 'transaction of 100',
      hub: await measure(async (i) => void (await client.call('POST', '/fhir', 200, transactionOf(100, patient(i)))), {
        concurrency: 4,
        seconds: SECONDS,
      }),
      raw: await measure(
        async (i) =>
          rawInsert(
            pool,
            Array.from({ length: 100 }, () => studyOf(patient(i))),
          ),
        { concurrency: 4, seconds: SECONDS },
      ),
      bare: undefined,
      goal: '>= 0.4 of raw',
    },
    {
      work: 'search by patient',
      hub: await measure(
        async (i) => void (await client.call('GET', `/fhir/ImagingStudy?patient=${patient(i)}&_count=20`, 200)),
        { seconds: SECONDS },
      ),
      raw: await measure(
        async (i) =>
          void (await pool.query('select content from bare_study where patient_id = $1 order by started desc limit 20', [
            patient(i),
          ])),
        { seconds: SECONDS },
      ),
      bare: await measure(async (i) => void (await bare.call('GET', `/ImagingStudy?patient=${patient(i)}`, 200)), {
        seconds: SECONDS,
      }),
      goal: '>= 0.6 of bare',
    },
    {
      work: 'read by id',
      hub: await measure(async (i) => void (await client.call('GET', `/fhir/ImagingStudy/${id(i)}`, 200)), { seconds: SECONDS }),
      raw: await measure(async (i) => void (await pool.query('select content from bare_study where id = $1', [id(i)])), {
        seconds: SECONDS,
      }),
      bare: await measure(async (i) => void (await bare.call('GET', `/ImagingStudy/${id(i)}`, 200)), { seconds: SECONDS }),
      goal: '>= 0.6 of bare',
    },
  ];
  await client.close();
  await bare.close();
  return rows;
}

async function seedPatients(client: ReturnType<typeof httpClient>): Promise<string[]> {
  const ids: string[] = [];
  for (let from = 0; from < PATIENTS; from += 500) {
    const entry = Array.from({ length: 500 }, (_, i) => ({
      resource: {
        resourceType: 'Patient',
        identifier: [{ system: 'urn:oid:1.2.826.0.1.3680043.10.1451.77', value: `B${from + i}` }],
        name: [{ text: `患者${from + i}` }],
        gender: i % 2 ? 'male' : 'female',
        birthDate: `19${50 + (i % 50)}-0${1 + (i % 9)}-1${i % 10}`,
      },
      request: { method: 'POST', url: 'Patient' },
    }));
    const answer = JSON.parse(
      await client.call('POST', '/fhir', 200, JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry })),
    );
    ids.push(...answer.entry.map((e: { resource: { id: string } }) => e.resource.id));
  }
  return ids;
}

async function seedStudies(client: ReturnType<typeof httpClient>, patients: readonly string[], pool: pg.Pool): Promise<void> {
  for (let i = 0; i < patients.length; i += 20) {
    const entry = patients
      .slice(i, i + 20)
      .flatMap((p) =>
        Array.from({ length: STUDIES_EACH }, () => ({ resource: studyOf(p), request: { method: 'POST', url: 'ImagingStudy' } })),
      );
    await client.call('POST', '/fhir', 200, JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry }));
  }
  // the same studies, for the limits: one narrow table with the two indexes that the reads need
  await pool.query(
    "insert into bare_study select id, patient_id, content->>'started', content::jsonb from resource where type = 'ImagingStudy' on conflict do nothing",
  );
}

function transactionOf(count: number, patient: string): string {
  const entry = Array.from({ length: count }, () => ({
    resource: studyOf(patient),
    request: { method: 'POST', url: 'ImagingStudy' },
  }));
  return JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry });
}

async function rawInsert(pool: pg.Pool, studies: object[]): Promise<void> {
  const given = studies as { subject: { reference: string }; started: string }[];
  await pool.query('insert into bare_study select * from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])', [
    given.map(() => randomUUID()),
    given.map((s) => s.subject.reference),
    given.map((s) => s.started),
    given.map((s) => JSON.stringify(s)),
  ]);
}

async function startBare(databaseUrl: string): Promise<{ process: ChildProcess; port: number }> {
  const admin = new pg.Client({ connectionString: databaseUrl });
  await admin.connect();
  await admin.query(
    'create table bare_study (id text primary key, patient_id text not null, started text, content jsonb not null)',
  );
  await admin.query('create index on bare_study (patient_id, started desc)');
  await admin.end();
  const child = spawn(process.execPath, [fileURLToPath(new URL('./bare-server.js', import.meta.url))], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { process: child, port: Number(line) };
}

function print(rows: readonly Row[]): void {
  const text = (m: Measured | undefined): string =>
    m ? `${Math.round(m.perSecond)}/s (p50 ${m.p50.toFixed(1)}, p99 ${m.p99.toFixed(1)} ms)` : '-';
  const ratio = (a: Measured, b: Measured | undefined): string => (b ? (a.perSecond / b.perSecond).toFixed(2) : '-');
  console.log('| work | hub | bare hapi + pg | raw pg | hub / bare | hub / raw | goal |');
  console.log('|---|---|---|---|---|---|---|');
  for (const r of rows)
    console.log(
      `| ${r.work} | ${text(r.hub)} | ${text(r.bare)} | ${text(r.raw)} | ${ratio(r.hub, r.bare)} | ${ratio(r.hub, r.raw)} | ${r.goal} |`,
    );
}

async function printBytes(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query(`
    select (select sum(pg_total_relation_size(t)) from unnest(array['resource_imaging_study','study_claim','imaging_series','imaging_instance']::regclass[]) t)
         / (select count(*) from resource where type = 'ImagingStudy') as hub,
      pg_total_relation_size('bare_study') / (select count(*) from bare_study) as bare`);
  console.log(
    `\nstored bytes a study: hub ${rows[0].hub}, bare row with its index ${rows[0].bare}, ratio ${(rows[0].hub / rows[0].bare).toFixed(2)} (goal <= 2)`,
  );
}
