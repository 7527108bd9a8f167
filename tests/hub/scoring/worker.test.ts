import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SourceError } from '../../../connectors/connector.js';
import { validateResource } from '../../../fhir-profiles/index.js';
import { openAudit } from '../../../hub/audit/record.js';
import type { Audit } from '../../../hub/audit/vocabulary.js';
import type { RetrieveSeries } from '../../../hub/scoring/fetch-study.js';
import { inState } from '../../../hub/jobs/task-state.js';
import { loadModels, type Models } from '../../../hub/scoring/models.js';
import { scoringQueue } from '../../../hub/scoring/queue.sql.js';
import { placeScoringTask } from '../../../hub/scoring/task-writer.js';
import { type ScoringDeps, startScoringWorkers } from '../../../hub/scoring/worker.js';
import { findResource, type ResourceRow, toResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { indexStudy, retrieveFrom, writeStudy } from './phantom-study.js';
import { QUICK_MODEL, quickModelsFolder, writeQuickModel } from './quick-model.js';

let test: TestDatabase;
let audit: Audit;
/** A model that costs next to nothing, for all that is not about what a model finds. */
let quick: { models: Models; modelsRoot: string };
let models: Models;
let folder: string;
let study: ResourceRow;
let planted: number;

beforeAll(async () => {
  test = await testDatabase();
  audit = await openAudit(test.db, test.url);
  models = await loadModels();
  const modelsRoot = await quickModelsFolder();
  await writeQuickModel(modelsRoot, { steps: 4, stepMs: 50 });
  quick = { models: await loadModels(modelsRoot), modelsRoot };
  folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  planted = (await writeStudy(folder)).truth.nodules.length;
  study = await indexStudy(test.db);
});
afterAll(async () => {
  await audit.close();
  await test.close();
  for (const place of [folder, quick.modelsRoot]) await rm(place, { recursive: true, force: true });
});

const request = (of: ResourceRow, { priority = 'routine', model = QUICK_MODEL } = {}) =>
  test.db.transaction((tx) =>
    placeScoringTask(
      tx,
      {
        resourceType: 'Task',
        status: 'requested',
        businessStatus: inState('requested'),
        priority,
        code: { coding: [{ system: 'https://federation-hub.example/fhir/CodeSystem/task-kind', code: 'scoring-request' }] },
        focus: { reference: `ImagingStudy/${of.id}` },
        for: { reference: `Patient/${of.patient_id}` },
        requester: { reference: 'Organization/hospital-b' },
      },
      of,
      model,
    ),
  );

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

function startWorkers(changes: Partial<ScoringDeps> = {}) {
  const { db } = test;
  const log = silent as unknown as ScoringDeps['log'];
  const retrieve = retrieveFrom(folder);
  return startScoringWorkers({
    db,
    audit,
    ...quick,
    log,
    retrieve,
    config: { scoringTimeout: 100, scoringMemory: 16_384 },
    count: 1,
    leaseSeconds: 30,
    retrySeconds: 0.05,
    idleSeconds: 0.05,
    ...changes,
  });
}

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 600; i++) {
    const seen = await look();
    if (seen) return seen;
    await sleep(100);
  }
  throw new Error('it did not come about');
}

const taskOf = async (id: string) => toResource((await findResource(test.db, 'Task', id))!);
const taskAs = (id: string, ...states: string[]) =>
  until(async () => {
    const task = await taskOf(id);
    return states.includes(task.status) && task;
  });

async function jobOf(taskId: string) {
  const [job] = await test.db.query<{ state: string; attempts: number; last_error: string }>(
    sql`select state, attempts, last_error from scoring_job where task_id = ${taskId}`,
  );
  return job!;
}

async function reportsAbout(of: ResourceRow): Promise<FhirResource[]> {
  const rows = await test.db.query<ResourceRow & Record<string, unknown>>(
    sql`select * from resource where type = 'DiagnosticReport' and patient_id = ${of.patient_id}`,
  );
  return rows.map(toResource);
}

const foldersOf = async (pid: number) => (await readdir(tmpdir())).filter((name) => name.startsWith(`hub-scoring-${pid}-`));

describe('a scoring job', () => {
  it('ends as a preliminary report with its observations, provenance and device', async () => {
    const task = await request(study, { model: 'pulmonary-nodule' });
    const workers = startWorkers({ models, modelsRoot: undefined });
    const done = await taskAs(task.id, 'completed', 'failed');
    await workers.stop();
    expect(done.status).toBe('completed');
    const [reportId] = done.output.map((o: FhirResource) => o.valueReference.reference.split('/')[1]);
    const row = (await findResource(test.db, 'DiagnosticReport', reportId))!;
    expect(row).toMatchObject({
      custodian_id: 'hospital-a',
      patient_id: study.patient_id,
      modality: ['CT'],
      body_site: ['51185008'],
    });
    expect(row.parties).toContain('hospital-b');
    const report = toResource(row);
    expect(report.status).toBe('preliminary');
    expect(report.conclusion).toMatch(/no physician has checked it[\s\S]*pulmonary-nodule \d+\.\d+\.\d+[\s\S]*Limits of use/);
    const ids: string[] = report.result.map((r: { reference: string }) => r.reference.split('/')[1]);
    const observations = await Promise.all(ids.map(async (id) => toResource((await findResource(test.db, 'Observation', id))!)));
    const [summary, ...findings] = observations;
    expect(summary!.valueQuantity.value).toBe(findings.length);
    expect(findings.length).toBeGreaterThanOrEqual(planted);
    for (const finding of findings) {
      const component = (code: string) => finding.component.find((c: FhirResource) => c.code.coding[0].code === code);
      expect(component('sop-instance-uid').valueString).toMatch(/^1\.2\.826\.0\.1\.3680043\.10\.1451\.77\.1\.1\.\d+$/);
      expect(component('diameter').valueQuantity).toMatchObject({ code: 'mm', system: 'http://unitsofmeasure.org' });
      expect(component('box').valueString.split(' ')).toHaveLength(4);
      expect(finding.valueQuantity.value).toBeGreaterThanOrEqual(finding.referenceRange[0].high.value);
    }
    const device = toResource((await findResource(test.db, 'Device', summary!.device.reference.split('/')[1]))!);
    const provenances = await test.db.query<ResourceRow & Record<string, unknown>>(
      sql`select * from resource where type = 'Provenance'`,
    );
    const provenance = provenances.map(toResource).find((p) => p.target[0].reference === `DiagnosticReport/${reportId}`)!;
    expect(provenance.entity.filter((e: FhirResource) => /^sha256 [0-9a-f]{64}$/.test(e.what.display ?? ''))).toHaveLength(40);
    for (const resource of [report, ...observations, device, provenance, done])
      expect(validateResource(resource).filter((i) => i.severity === 'error')).toEqual([]);
    expect(await foldersOf(process.pid)).toEqual([]);
    const entries = await test.db.query<{ subtype: string }>(
      sql`select subtype from audit_event where type = 'scoring' and patient_id = ${study.patient_id} order by id`,
    );
    expect(entries.map((e) => e.subtype)).toEqual(['begin', 'publish']);
  });

  it.each(['while it retrieves', 'while it computes'])('whose worker is killed %s completes once, elsewhere', async (when) => {
    const of = await indexStudy(test.db);
    const task = await request(of);
    const word = when === 'while it retrieves' ? 'retrieving' : 'retrieved';
    const worker = spawnWorker(word);
    await worker.says(word);
    worker.process.kill('SIGKILL');
    await worker.ended;
    expect((await taskOf(task.id)).status).toBe('in-progress');
    expect(await foldersOf(worker.process.pid!)).toHaveLength(1);
    const workers = startWorkers({ count: 2 });
    await taskAs(task.id, 'completed', 'failed');
    await workers.stop();
    expect(await jobOf(task.id)).toMatchObject({ state: 'done', attempts: 2 });
    expect(await reportsAbout(of)).toHaveLength(1);
    expect(await foldersOf(worker.process.pid!)).toEqual([]);
  });

  it('whose worker sleeps past its lease is published by the other one alone', async () => {
    const of = await indexStudy(test.db);
    const task = await request(of);
    const sleeper = spawnWorker('retrieved');
    await sleeper.says('retrieved');
    const workers = startWorkers();
    await taskAs(task.id, 'completed', 'failed');
    await workers.stop();
    sleeper.process.kill('SIGCONT');
    const later = await indexStudy(test.db);
    await taskAs((await request(later)).id, 'completed');
    sleeper.process.kill('SIGTERM');
    await sleeper.ended;
    expect(await reportsAbout(of)).toHaveLength(1);
    expect(await jobOf(task.id)).toMatchObject({ state: 'done', attempts: 2 });
  });

  it('whose lease ran out unnoticed is not published by the worker that held it', async () => {
    const of = await indexStudy(test.db);
    const task = await request(of);
    const outcomes: boolean[] = [];
    const log = {
      ...silent,
      info: ({ published }: { published: boolean }) => outcomes.push(published),
    } as unknown as ScoringDeps['log'];
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const slow: RetrieveSeries = async (...asked) => {
      await gate;
      return retrieveFrom(folder)(...asked);
    };
    const first = startWorkers({ retrieve: slow, leaseSeconds: 60, log });
    await until(async () => (await jobOf(task.id)).state === 'running');
    await test.db.query(sql`update scoring_job set lease_until = now() where task_id = ${task.id}`);
    const second = startWorkers({ leaseSeconds: 60 });
    await taskAs(task.id, 'completed');
    await second.stop();
    letGo();
    await until(async () => outcomes.length > 0);
    await first.stop();
    expect(outcomes).toEqual([false]);
    expect(await reportsAbout(of)).toHaveLength(1);
  });

  it('is taken once, however many workers there are, the most urgent first', async () => {
    const routine = await request(study);
    const stat = await request(study, { priority: 'stat' });
    const order: string[] = [];
    const retrieve: RetrieveSeries = async () => {
      const [job] = await test.db.query<{ task_id: string }>(
        sql`select task_id from scoring_job where state = 'running' order by lease_until desc limit 1`,
      );
      if (job) order.push(job.task_id);
      throw new SourceError('not-found', 'gone');
    };
    const workers = startWorkers({ count: 1, retrieve, retrySeconds: 0 });
    await taskAs(stat.id, 'failed');
    await taskAs(routine.id, 'failed');
    await workers.stop();
    expect(order).toEqual([stat.id, stat.id, stat.id, routine.id, routine.id, routine.id]);
  });

  it('is tried three times when the source fails, then fails with the reason', async () => {
    const task = await request(study);
    const broken: RetrieveSeries = async () => {
      throw new SourceError('unreachable', 'connect ECONNREFUSED 10.0.0.7');
    };
    const workers = startWorkers({ retrieve: broken });
    const failed = await taskAs(task.id, 'failed', 'completed');
    await workers.stop();
    expect(await jobOf(task.id)).toMatchObject({ state: 'failed', attempts: 3 });
    expect(failed.statusReason.text).toBe('The custodian’s source did not give the images (unreachable).');
    expect(validateResource(failed).filter((i) => i.severity === 'error')).toEqual([]);
  });

  it('fails at once when the study is not what the model is made for, or is another one', async () => {
    const scoutOnly: RetrieveSeries = (of, signal) =>
      retrieveFrom(folder)({ ...of, seriesInstanceUid: of.seriesInstanceUid.replace(/\.1$/, '.2') }, signal);
    const unfit = await request(study, { model: 'pulmonary-nodule' });
    const workers = startWorkers({ retrieve: scoutOnly, models, modelsRoot: undefined });
    const failed = await taskAs(unfit.id, 'failed', 'completed');
    await workers.stop();
    expect(failed.status).toBe('failed');
    expect(await jobOf(unfit.id)).toMatchObject({ state: 'failed', attempts: 1 });
    const other = await request(await indexStudy(test.db, '1.2.826.0.1.3680043.10.1451.77.2'));
    const others = startWorkers();
    expect((await taskAs(other.id, 'failed', 'completed')).statusReason.text).toBe('The custodian sent images of another study.');
    await others.stop();
    expect(await jobOf(other.id)).toMatchObject({ attempts: 1 });
  });

  it('that is cancelled while it runs stops, and publishes nothing', async () => {
    const of = await indexStudy(test.db);
    const task = await request(of);
    let isAborted = false;
    const hanging: RetrieveSeries = async (_of, signal) => {
      await test.db.transaction((tx) => scoringQueue.cancel(tx, task.id));
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          isAborted = true;
          reject(signal.reason);
        }),
      );
    };
    const workers = startWorkers({ retrieve: hanging, leaseSeconds: 0.3 });
    await until(async () => isAborted);
    await workers.stop();
    expect(await jobOf(task.id)).toMatchObject({ state: 'cancelled' });
    expect(await reportsAbout(of)).toEqual([]);
  });

  it('shows nothing while the audit can’t be written, and is tried again', async () => {
    const of = await indexStudy(test.db);
    const task = await request(of);
    let failures = 0;
    const failing: Audit = {
      ...audit,
      append: async (tx, entries) => {
        if (entries[0]?.subtype === 'publish' && failures++ === 0) throw new Error('the audit is full');
        return audit.append(tx, entries);
      },
    };
    const workers = startWorkers({ audit: failing, leaseSeconds: 1 });
    await until(async () => failures > 0);
    expect(await reportsAbout(of)).toEqual([]);
    await taskAs(task.id, 'completed', 'failed');
    await workers.stop();
    expect(await reportsAbout(of)).toHaveLength(1);
    expect(await jobOf(task.id)).toMatchObject({ state: 'done', attempts: 2 });
  });

  it('that a stopping worker gives back is not counted as a try', async () => {
    const task = await request(study);
    let reached: () => void = () => undefined;
    const retrieving = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const hanging: RetrieveSeries = (_of, signal) => {
      reached();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const workers = startWorkers({ retrieve: hanging });
    await retrieving;
    await workers.stop();
    expect(await jobOf(task.id)).toMatchObject({ state: 'queued', attempts: 0 });
    await test.db.query(sql`update scoring_job set state = 'cancelled' where task_id = ${task.id}`);
  });
});

/** @param stopsAt word at which it stops until it is told to go on. */
function spawnWorker(stopsAt: string): { process: ChildProcess; says(word: string): Promise<void>; ended: Promise<void> } {
  const script = fileURLToPath(new URL('./worker-process.js', import.meta.url));
  const worker = spawn(process.execPath, [script, test.url, folder, quick.modelsRoot, stopsAt], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  let said = '';
  worker.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return {
    process: worker,
    says: async (word) => void (await until(async () => said.split('\n').includes(word))),
    ended: new Promise((resolve) => worker.once('exit', () => resolve())),
  };
}
