import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { inState } from '../../../hub/jobs/task-state.js';
import { placeScoringTask } from '../../../hub/scoring/task-writer.js';
import type { ResourceRow } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { randomStream } from '../../../models/phantoms/random.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { indexStudy, writeStudy } from './phantom-study.js';
import { QUICK_MODEL, quickModelsFolder, writeQuickModel } from './quick-model.js';

const JOBS = 9;
const KILLS = 6;
const random = randomStream(20_251);

let test: TestDatabase;
let folder: string;
let models: string;

beforeAll(async () => {
  test = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  models = await quickModelsFolder();
  await writeStudy(folder);
  await writeQuickModel(models, { steps: 4, stepMs: 50 });
});
afterAll(async () => {
  await test.close();
  for (const place of [folder, models]) await rm(place, { recursive: true, force: true });
});

describe('workers that are killed at any instant', () => {
  it('lose no job and publish none twice, several at once and over a lost database connection', async () => {
    const tasks: string[] = [];
    for (let i = 0; i < JOBS; i++) tasks.push((await request(await indexStudy(test.db))).id);
    // the first to be killed is so in the middle of its work
    const workers = [spawnWorker('retrieving'), spawnWorker(), spawnWorker()];
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const victim = workers[kill % workers.length]!;
        // one that has begun work, or finds that there is none left
        await until(async () => victim.said().includes('retrieving') || (kill > 0 && (await openJobs()) === 0));
        if (kill > 0) await sleep(random() * 700);
        victim.process.kill('SIGKILL');
        workers[kill % workers.length] = spawnWorker();
        if (kill === 2) await loseConnections();
      }
      await until(async () => (await openJobs()) === 0);
    } finally {
      for (const { process } of workers) process.kill('SIGKILL');
    }
    expect(await test.db.query(sql`select state, count(*) from scoring_job group by state`)).toEqual([
      { state: 'done', count: JOBS },
    ]);
    const published = await test.db.query(sql`
      select t.id, t.content::jsonb ->> 'status' as status,
        (select count(*) from resource d where d.type = 'DiagnosticReport' and d.patient_id = t.patient_id) as reports,
        (select count(*) from audit_event a where a.type = 'scoring' and a.subtype = 'publish' and a.patient_id = t.patient_id) as audited
      from resource t where t.type = 'Task' order by t.id`);
    expect(published).toEqual(tasks.sort().map((id) => ({ id, status: 'completed', reports: 1, audited: 1 })));
    const [{ again }] = (await test.db.query(sql`select count(*) as again from scoring_job where attempts > 1`)) as [
      { again: number },
    ];
    expect(again).toBeGreaterThan(0);
  });
});

const request = (of: ResourceRow) =>
  test.db.transaction((tx) =>
    placeScoringTask(
      tx,
      {
        resourceType: 'Task',
        status: 'requested',
        businessStatus: inState('requested'),
        code: { coding: [{ system: systems.taskKind, code: 'scoring-request' }] },
        focus: { reference: `ImagingStudy/${of.id}` },
        for: { reference: `Patient/${of.patient_id}` },
        requester: { reference: 'Organization/hospital-a' },
      },
      of,
      QUICK_MODEL,
    ),
  );

async function openJobs(): Promise<number> {
  const [row] = await test.db.query<{ open: number }>(
    sql`select count(*) as open from scoring_job where state in ('queued', 'running')`,
  );
  return row!.open;
}

/** As a database that restarts: every connection of the workers ends at once. */
const loseConnections = () =>
  test.db.query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and application_name like 'hub%'`);

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (await isSo().catch(() => false)) return;
    await sleep(50);
  }
  throw new Error('it did not come about');
}

function spawnWorker(stopsAt = ''): { process: ChildProcess; said(): string[] } {
  const script = fileURLToPath(new URL('./worker-process.js', import.meta.url));
  const child = spawn(process.execPath, [script, test.url, folder, models, stopsAt], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return { process: child, said: () => said.split('\n') };
}
