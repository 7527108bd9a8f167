import { mkdirSync, rmSync } from 'node:fs';
import pg from 'pg';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { joinHospital, startHubProcess } from '../support/hub-process.js';
import { httpClient, type Measured, measure } from './load.js';
import { studyOf } from './province.js';

const SECONDS = Number(process.env.BENCH_SECONDS ?? 6);
const JOBS = Number(process.env.BENCH_JOBS ?? 10_000);
const PATIENTS = 100;

/**
 * The search of others while scores wait: none, then ten thousand that were put back for later, which is the worst for the worker that looks for one that is due
 * every second, as it passes over each of them.
 */
export async function queue(): Promise<void> {
  const dataDir = '.data/bench-queue';
  mkdirSync('.data', { recursive: true });
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const postgres = await startEmbeddedPostgres({ dataDir });
  const hub = await startHubProcess({ databaseUrl: postgres.url, workers: 1 });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
  const { token } = await joinHospital(hub, { id: 'bench', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.77' });
  const client = httpClient(hub.url, { 'content-type': 'application/fhir+json', authorization: `Bearer ${token}` });
  try {
    const patients: string[] = [];
    for (let i = 0; i < PATIENTS; i++) {
      const patient = { resourceType: 'Patient', name: [{ text: `患者${i}` }] };
      patients.push(JSON.parse(await client.call('POST', '/fhir/Patient', 201, JSON.stringify(patient))).id);
      for (let n = 0; n < 5; n++) await client.call('POST', '/fhir/ImagingStudy', 201, JSON.stringify(studyOf(patients[i]!)));
    }
    await pool.query('analyze');
    const search = () =>
      measure(async (i) => void (await client.call('GET', `/fhir/ImagingStudy?patient=${patients[i % PATIENTS]}`, 200)), {
        concurrency: 4,
        seconds: SECONDS,
      });
    const rows: [string, Measured][] = [['no job waits', await search()]];
    await wait(pool);
    rows.push([`${JOBS} jobs wait`, await search()]);
    await pool.query('delete from scoring_job');
    rows.push(['no job waits, again', await search()]);
    console.table(rows.map(([work, measured]) => ({ 'search by patient, while': work, ...shown(measured) })));
  } finally {
    await client.close();
    await pool.end();
    await hub.stop();
    await postgres.stop();
    await removeEmbeddedPostgres(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

const wait = (pool: pg.Pool) =>
  pool.query(
    `insert into scoring_job (task_id, focus_id, patient_id, custodian_id, requester_id, focus_version, model, run_after)
     select 't' || i, 's' || i, 'p', 'bench', 'bench', 1, 'pulmonary-nodule', now() + interval '1 hour' from generate_series(1, $1::integer) i`,
    [JOBS],
  );

const shown = ({ perSecond, p50, p99 }: Measured) => ({
  'a second': Math.round(perSecond),
  'p50 ms': Number(p50.toFixed(1)),
  'p99 ms': Number(p99.toFixed(1)),
});
