import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createMemoryBudget, type MemoryBudget } from '../../../hub/scoring/memory-budget.js';
import { loadModels, type Models } from '../../../hub/scoring/models.js';
import { pruneJobs, scoringQueue } from '../../../hub/scoring/queue.sql.js';
import { awaitedModels } from '../../../hub/scoring/retry-job.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

let test: TestDatabase;
let models: Models;

beforeAll(async () => {
  test = await testDatabase();
  const [nodule] = (await loadModels()).values();
  const needing = (name: string, memoryMb: number) => [name, { ...nodule!, name, resources: { memoryMb } }] as const;
  models = new Map([needing('small', 1000), needing('large', 3000), needing('huge', 9000)]);
});
afterAll(() => test.close());
beforeEach(() => test.db.query(sql`delete from scoring_job`));

/** Jobs of a model and a priority, older ones first. */
const fill = (count: number, of: { model?: string; priority?: number; state?: string; age?: number; run_after?: string } = {}) =>
  test.db.query(sql`
    insert into scoring_job (task_id, focus_id, patient_id, custodian_id, requester_id, focus_version, model, priority, state, created, finished, run_after)
    select ${`${of.model ?? 'small'}-${of.priority ?? 100}-${of.state ?? 'queued'}-`} || lpad(i::text, 5, '0'), 's' || i, 'p', 'a', 'a', 1, ${of.model ?? 'small'},
      ${of.priority ?? 100}, ${of.state ?? 'queued'}, now() - make_interval(days => ${of.age ?? 1}) + make_interval(secs => i),
      case when ${of.state ?? 'queued'} in ('done', 'failed', 'cancelled') then now() - make_interval(days => ${of.age ?? 1}) end,
      ${of.run_after ?? '2000-01-01T00:00:00Z'}::timestamptz
    from generate_series(1, ${count}) i`);

/** Takes the next job as a worker of this budget does. */
async function take(budget: MemoryBudget): Promise<{ id: string | undefined; giveBack: () => void }> {
  const job = await test.db.transaction(async (tx) => scoringQueue.claim(tx, 'me', 60, await budget.choose(tx)));
  return { id: job?.task_id, giveBack: job ? budget.hold(job) : () => undefined };
}

describe('ten thousand jobs that wait', () => {
  it('do not hold up an emergency, and emergencies do not hold up the oldest of them for good', async () => {
    await fill(10_000, { age: 2 });
    await fill(20, { priority: 10 });
    const budget = createMemoryBudget(models, 1_000_000);
    const taken: string[] = [];
    for (let i = 0; i < 16; i++) taken.push((await take(budget)).id?.replace(/-queued.*/, '') ?? '');
    expect(taken).toEqual([...Array(7).fill('small-10'), 'small-100', ...Array(7).fill('small-10'), 'small-100']);
  });

  it.each([[false], [true]])('are claimed by an index in order, never sorted (longest waiting: %s)', async (longestWaiting) => {
    await fill(10_000);
    await fill(10_000, { state: 'done' });
    await test.db.query(raw('analyze scoring_job'));
    const plans: string[] = [];
    const explaining = {
      query: async (statement: ReturnType<typeof sql>) => {
        const rows = await test.db.transaction((tx) =>
          tx.query<{ 'QUERY PLAN': string }>(sql`explain (analyze, costs off, timing off) ${statement}`),
        );
        plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
        return [];
      },
    };
    await scoringQueue.claim(explaining as never, 'me', 60, { longestWaiting });
    const [plan = ''] = plans;
    expect(plan).toContain(longestWaiting ? 'scoring_job_longest' : 'scoring_job_queue');
    expect(plan).not.toMatch(/Sort|Seq Scan|Bitmap/);
    expect(plan).toMatch(/Index Scan using scoring_job_(queue|longest).*rows=1(\.00)? loops=1/);
  });

  it('are pruned when they ended long ago, those that failed much later', async () => {
    await fill(3, { state: 'done', age: 31 });
    await fill(2, { state: 'cancelled', age: 29 });
    await fill(4, { state: 'failed', age: 170 });
    await fill(5, { state: 'failed', age: 190, priority: 20 });
    await fill(1, { age: 400 });
    expect(await pruneJobs(test.db)).toBe(8);
    const left = await test.db.query(sql`select state, count(*) from scoring_job group by state order by state`);
    expect(left).toEqual([
      { state: 'cancelled', count: 2 },
      { state: 'failed', count: 4 },
      { state: 'queued', count: 1 },
    ]);
  });
});

describe('the memory of a process', () => {
  it('is shared by the jobs that fit; a large one is waited for, and nothing overtakes it', async () => {
    await fill(1, { model: 'small', priority: 10 });
    await fill(1, { model: 'large', priority: 20 });
    await fill(1, { model: 'small', priority: 100 });
    const budget = createMemoryBudget(models, 3500);
    const first = await take(budget);
    expect(first.id).toMatch(/^small-10-/);
    expect((await take(budget)).id).toBeUndefined();
    first.giveBack();
    const second = await take(budget);
    expect(second.id).toMatch(/^large-20-/);
    expect((await take(budget)).id).toBeUndefined();
    second.giveBack();
    expect((await take(budget)).id).toMatch(/^small-100-/);
  });

  it('is too little for a job: it is left to a process that has more, or taken to be failed where there is none', async () => {
    await fill(1, { model: 'huge', priority: 10 });
    await fill(1, { model: 'small' });
    const [here, elsewhere] = [createMemoryBudget(models, 2000), createMemoryBudget(models, 16_000)];
    await here.announce(test.db);
    await elsewhere.announce(test.db);
    expect((await take(here)).id).toMatch(/^small-/);
    expect((await take(here)).id).toBeUndefined();
    await elsewhere.leave(test.db);
    expect((await take(here)).id).toMatch(/^huge-/);
    expect(here.fits(models.get('huge')!)).toBe(false);
  });
});

describe('a model that a process does not carry', () => {
  it('is left to one that does, however long that takes, and told of', async () => {
    await fill(3, { model: 'new', priority: 10 });
    await fill(1, { model: 'small' });
    const [here, elsewhere] = [
      createMemoryBudget(models, 2000),
      createMemoryBudget(new Map([['new', models.get('small')!]]), 2000),
    ];
    await here.announce(test.db);
    expect((await take(here)).id).toMatch(/^small-/);
    expect((await take(here)).id).toBeUndefined();
    expect(await awaitedModels(test.db, 'a')).toMatchObject([{ model: 'new', jobs: 3 }]);
    await elsewhere.announce(test.db);
    expect(await awaitedModels(test.db)).toEqual([]);
    expect((await take(elsewhere)).id).toMatch(/^new-/);
    elsewhere.refuse('new');
    expect((await take(elsewhere)).id).toBeUndefined();
    await elsewhere.announce(test.db);
    expect(await awaitedModels(test.db, 'a')).toMatchObject([{ model: 'new', jobs: 2 }]);
  });
});
