import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '@hapi/hapi';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Caller } from '../../../hub/access/caller.js';
import { registerScoringEvents } from '../../../hub/api/scoring-events.js';
import { loadModels } from '../../../hub/scoring/models.js';
import { openProgress, type ProgressExchange } from '../../../hub/scoring/progress.js';
import { scoringQueue } from '../../../hub/scoring/queue.sql.js';
import { placeScoringTask } from '../../../hub/scoring/task-writer.js';
import { createJobWatch } from '../../../hub/scoring/watch-job.js';
import { type ScoringDeps, startScoringWorkers } from '../../../hub/scoring/worker.js';
import { findResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { as, serverForCallers } from '../api/stand-in.js';
import { businessStatus, caller, kind, openRegion, organization, type Region } from '../referral/region.js';
import { indexStudy, retrieveFrom, writeStudy } from './phantom-study.js';
import { QUICK_MODEL, quickModelsFolder, writeQuickModel } from './quick-model.js';

let region: Region;
let folder: string;
let modelsRoot: string;
let server: Server;
/** Of the process that is asked, and of the one that works. */
let exchanges: ProgressExchange[];
let standing: boolean;

const physician = caller('hospital-a');

beforeAll(async () => {
  region = await openRegion();
  folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  modelsRoot = await quickModelsFolder();
  await writeStudy(folder);
  await writeQuickModel(modelsRoot, { steps: 5, stepMs: 300 });
});
afterAll(async () => {
  await region.audit.close();
  await region.close();
  for (const place of [folder, modelsRoot]) await rm(place, { recursive: true, force: true });
});
beforeEach(async () => {
  standing = true;
  const known = { organizationId: 'hospital-a', roles: ['physician'] };
  const ofSubject = async () => (standing ? (known as never) : undefined);
  exchanges = [0, 1].map(() => openProgress(region.db, region.url, () => undefined));
  server = serverForCallers();
  registerScoringEvents(server, {
    ...region.deps,
    standings: { ofSubject, ofClient: ofSubject, ofPerson: ofSubject },
    config: { trustedProxy: false },
    jobs: createJobWatch(region.db, exchanges[0]!, () => undefined),
    recheckMs: 100,
    heartbeatMs: 100,
  });
  await server.start();
});
afterEach(async () => {
  await server.stop({ timeout: 1000 });
  for (const exchange of exchanges) await exchange.close();
  await region.db.query(sql`update scoring_job set state = 'cancelled', finished = now() where state in ('queued', 'running')`);
});

async function request(): Promise<string> {
  const study = await indexStudy(region.db);
  await region.db.query(sql`insert into patient_registration values ('hospital-a', ${study.patient_id})`);
  const row = await region.db.transaction((tx) =>
    placeScoringTask(
      tx,
      {
        resourceType: 'Task',
        status: 'requested',
        businessStatus: businessStatus('requested'),
        code: kind('scoring-request'),
        focus: { reference: `ImagingStudy/${study.id}` },
        for: { reference: `Patient/${study.patient_id}` },
        requester: organization('hospital-a'),
      },
      study,
      QUICK_MODEL,
    ),
  );
  return row.id;
}

interface Followed {
  status: number;
  type: string | null;
  /** All that came, until the stream ended. */
  text: Promise<string>;
  /** What has come so far. */
  sofar(): string;
  leave(): void;
}

async function follow(id: string, who: Caller = physician, headers: Record<string, string> = {}): Promise<Followed> {
  const gone = new AbortController();
  const answer = await fetch(`${server.info.uri}/scoring/jobs/${id}/events`, {
    headers: { authorization: as(who), ...headers },
    signal: gone.signal,
  });
  let sofar = '';
  const text = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of answer.body!) sofar += decoder.decode(chunk as Uint8Array, { stream: true });
    return sofar;
  })().catch(() => sofar);
  return {
    status: answer.status,
    type: answer.headers.get('content-type'),
    text,
    sofar: () => sofar,
    leave: () => gone.abort(),
  };
}

const eventsIn = (text: string) =>
  text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [JSON.parse(line.slice('data: '.length))] : []));

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error('it did not come about');
}

const watches = (id: string) =>
  region.db.query<{ outcome: number; detail: string | null }>(
    sql`select outcome, detail from audit_event where subtype = 'watch' and entity @> ${[`Task/${id}`]}::text[] order by id`,
  );

const work = async () =>
  startScoringWorkers({
    permission: region.permission,
    db: region.db,
    audit: region.audit,
    models: await loadModels(modelsRoot),
    modelsRoot,
    progress: exchanges[1]!,
    retrieve: retrieveFrom(folder),
    config: { scoringTimeout: 100, scoringMemory: 4096 },
    log: { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as ScoringDeps['log'],
    count: 1,
    idleSeconds: 0.05,
  });

describe('the events of a scoring job', () => {
  it('tell its place, its stages in another process and its end, and are audited once', async () => {
    const earlier = await request();
    const id = await request();
    const followed = await follow(id, physician, { 'last-event-id': '999' });
    expect([followed.status, followed.type]).toEqual([200, 'text/event-stream; charset=utf-8']);
    await until(() => eventsIn(followed.sofar()).length > 0);
    expect(eventsIn(followed.sofar())[0]).toEqual({ state: 'queued', model: QUICK_MODEL, attempts: 0, before: 1 });
    await region.db.transaction((tx) => scoringQueue.cancel(tx, earlier));
    const workers = await work();
    const events = eventsIn(await followed.text);
    await workers.stop();
    expect(events.at(-1)).toMatchObject({ state: 'done', attempts: 1 });
    const shares = events.flatMap(({ stage, share }) => (stage === 'computing' ? [share] : []));
    expect(shares).toEqual([...shares].sort());
    expect(shares.length).toBeGreaterThan(1);
    expect(await watches(id)).toEqual([{ outcome: 0, detail: null }]);
    // who comes late is told the end alone
    expect(eventsIn(await (await follow(id)).text)).toMatchObject([{ state: 'done' }]);
  });

  it('cost nothing while nobody follows', async () => {
    const id = await request();
    const heard: string[] = [];
    const elsewhere = openProgress(region.db, region.url, () => undefined);
    const client = await region.db.pool.connect();
    client.on('notification', ({ channel }) => heard.push(channel));
    await client.query('listen scoring_progress');
    const workers = await work();
    await until(async () => (await findResource(region.db, 'Task', id))!.content.includes('"completed"'));
    await workers.stop();
    await client.query('select 1');
    expect(heard).toEqual([]);
    await client.query('unlisten *');
    client.release();
    await elsewhere.close();
  });

  it('are for those who may read the Task: anyone else is told what he would be told of it, on record', async () => {
    const id = await request();
    const stranger = caller('hospital-c');
    const answer = await fetch(`${server.info.uri}/scoring/jobs/${id}/events`, { headers: { authorization: as(stranger) } });
    const ofTask = await region.as(stranger).read(`Task/${id}`);
    expect([answer.status, await answer.json()]).toEqual([ofTask.status, ofTask.body]);
    expect(await watches(id)).toMatchObject([{ outcome: 4 }]);
    expect((await follow('nothing-of-this-kind')).status).toBe(404);
    expect((await fetch(`${server.info.uri}/scoring/jobs/${id}/events`)).status).toBe(401);
  });

  it('end when the permission does, with signs of life until then', async () => {
    const first = await follow(await request());
    await until(() => first.sofar().includes(': still here'));
    standing = false;
    expect(eventsIn(await first.text)).toMatchObject([{ state: 'queued' }]);
    standing = true;
    const id = await request();
    const second = await follow(id);
    await until(() => second.sofar().includes(': still here'));
    await region.db.query(
      sql`update resource set custodian_id = 'hospital-c', parties = '{}' where type = 'Task' and id = ${id}`,
    );
    expect(eventsIn(await second.text)).toMatchObject([{ state: 'queued' }]);
  });

  it('are bounded for one caller, and end when the process stops', async () => {
    const id = await request();
    const open = await Promise.all(Array.from({ length: 8 }, () => follow(id)));
    expect(open.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect((await follow(id)).status).toBe(429);
    expect((await follow(id, { ...physician, id: 'Practitioner/another' })).status).toBe(200);
    open[0]!.leave();
    await until(async () => {
      const again = await follow(id);
      return again.status === 200;
    });
    await server.stop({ timeout: 5_000 });
    for (const { text } of open) expect(eventsIn(await text).every(({ state }) => state === 'queued')).toBe(true);
  });

  it('tell that a job was cancelled', async () => {
    const id = await request();
    const followed = await follow(id);
    await until(() => eventsIn(followed.sofar()).length > 0);
    await region.db.transaction((tx) => scoringQueue.cancel(tx, id));
    expect(eventsIn(await followed.text).at(-1)).toMatchObject({ state: 'cancelled' });
  });
});
