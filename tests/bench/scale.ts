import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createAccess } from '../../hub/access/create-access.js';
import { takeShippedPolicy } from '../../hub/access/epochs/shipped-policy.js';
import type { Caller } from '../../hub/access/caller.js';
import { loadConfig } from '../../hub/config.js';
import { createCursorSigner } from '../../hub/fhir/cursor.js';
import type { FhirDeps, FhirRequest } from '../../hub/fhir/exchange.js';
import { search } from '../../hub/fhir/search.js';
import { type Database, openDatabase, type Queryable } from '../../hub/store/database.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { reprotect } from '../../hub/store/reprotect.js';
import { sql } from '../../hub/store/sql.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { TEST_SECRET, testProtection } from '../support/test-database.js';
import { httpClient, measure } from './load.js';
import { fillProvince, HOLDERS, hospitalId } from './province.js';

/**
 * `npm run bench -- scale`: searches in a small and in a large province (`SCALE_STUDIES`, by default 1,000,000; 50 hospitals, 30,000 consents,
 * 5,000 grants), for a hospital of a consortium and for one that has nothing but grants: time in SQL, whole HTTP time, and the
 * throughput beside the same hub with the audit's write left out. `SCALE_KEEP=true` keeps the data under .data/scale for the next run.
 */
const STUDIES = Number(process.env.SCALE_STUDIES ?? 1_000_000);
const SMALL = 10_000;
const RUNS = 200;
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const say = (line: string): void => console.error(line);

interface Asker {
  name: string;
  hospital: string;
  /** Patients whose studies it may read. */
  patients: readonly string[];
}

const WORKS: readonly { work: string; goal: string; path: (asker: Asker, i: number) => string }[] = [
  { work: 'one patient’s studies', goal: '5 ms', path: (a, i) => `patient=${a.patients[i % a.patients.length]}` },
  { work: 'newest 50 CT', goal: '10 ms', path: () => 'modality=CT&_count=50' },
  { work: 'capped count', goal: '50 ms', path: () => '_summary=count' },
];

export async function scale(): Promise<void> {
  const small = await inProvince(SMALL, async (db, url, askers) => ({ sql: await sqlTimes(db, askers), url }));
  await inProvince(STUDIES, async (db, url, askers) => {
    printSql(small.sql, await sqlTimes(db, askers));
    await printHttp(url, askers);
  });
}

async function inProvince<T>(
  studies: number,
  work: (db: Database, url: string, askers: readonly Asker[]) => Promise<T>,
): Promise<T> {
  const dataDir = `.data/scale-${studies}`;
  const keep = process.env.SCALE_KEEP === 'true';
  mkdirSync('.data', { recursive: true });
  if (!keep) await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const postgres = await startEmbeddedPostgres({ dataDir });
  const db = await openDatabase(postgres.url, { protection: testProtection(), poolSize: 16 });
  // what the first start of a hub does
  await takeShippedPolicy(db, async () => undefined);
  await reprotect(db, 'seal');
  try {
    if ((await db.query(sql`select from resource limit 1`)).length === 0) {
      const province = { studies, consents: Math.round(studies * 0.03), grants: Math.round(studies * 0.005) };
      await fillProvince(db, province, (line) => say(`${studies}: ${line}`));
    }
    return await work(db, postgres.url, await askersIn(db));
  } finally {
    await db.close();
    await postgres.stop();
    if (!keep) {
      await removeEmbeddedPostgres(dataDir);
      rmSync(dataDir, { recursive: true, force: true });
    }
  }
}

/** A hospital of a consortium with patients that are also known at another, and an expert hospital with patients of its grants. */
async function askersIn(db: Database): Promise<Asker[]> {
  const [member, expert] = [hospitalId(3), hospitalId(HOLDERS + 5)];
  const linked = await db.query<{ id: string }>(sql`
    select g.patient_id as id from patient_registration g join cross_reference using (patient_id) where g.organization_id = ${member} and g.own order by 1 limit 500`);
  const granted = await db.query<{ id: string }>(
    sql`select patient_id as id from access_grant where recipient_id = ${expert} order by 1`,
  );
  return [
    { name: 'member', hospital: member, patients: linked.map((r) => r.id) },
    { name: 'grants only', hospital: expert, patients: granted.map((r) => r.id) },
  ];
}

const callerOf = ({ hospital }: Asker): Caller => ({
  id: `Client/${hospital}.system`,
  kind: 'system',
  name: hospital,
  organizationId: hospital,
  role: 'hospital-system',
  purposeOfUse: 'TREAT',
  clientId: `${hospital}.system`,
  scope: 'system/*.cruds',
  authenticatedAt: 0,
});

interface Times {
  p50: number;
  p99: number;
  found: number;
}
type Figures = Map<string, Times>;

/** The hub's own search, on one connection, with the time of its statements taken and the audit left out. */
async function sqlTimes(db: Database, askers: readonly Asker[]): Promise<Figures> {
  const config = loadConfig({}, { secret: TEST_SECRET });
  let spent = 0;
  const timed = (on: Queryable): Queryable => ({
    query: async (statement) => {
      const began = performance.now();
      const rows = await on.query(statement);
      spent += performance.now() - began;
      return rows as never;
    },
  });
  const deps = {
    db: { ...db, ...timed(db), snapshot: (work: (tx: Queryable) => Promise<unknown>) => db.snapshot((tx) => work(timed(tx))) },
    access: await createAccess(config),
    audit: { commit: async () => undefined },
    config,
    cursors: createCursorSigner(config.secret),
    writers: {},
  } as unknown as FhirDeps;
  const figures: Figures = new Map();
  for (const asker of askers)
    for (const { work, path } of WORKS) {
      const times: number[] = [];
      let found = 0;
      for (let i = -20; i < RUNS; i += 1) {
        spent = 0;
        const answer = await search(deps, requestOf(asker, path(asker, Math.abs(i))));
        if (i >= 0) times.push(spent);
        const bundle = JSON.parse(answer.body ?? '{}') as { total?: number; entry?: unknown[] };
        found += i >= 0 ? (bundle.entry?.length ?? bundle.total ?? 0) : 0;
      }
      times.sort((a, b) => a - b);
      figures.set(`${work}, ${asker.name}`, { p50: times[RUNS / 2]!, p99: times[Math.floor(RUNS * 0.99)]!, found: found / RUNS });
    }
  return figures;
}

const requestOf = (asker: Asker, query: string): FhirRequest => ({
  method: 'GET',
  path: ['ImagingStudy'],
  query: [...new URLSearchParams(query)],
  strict: true,
  caller: callerOf(asker),
  context: { requestId: 'bench', address: '127.0.0.1' },
});

function printSql(small: Figures, large: Figures): void {
  console.log(
    `| SQL of a search | ${SMALL} studies, p50 / p99 ms | ${STUDIES} studies, p50 / p99 ms | ratio | goal p50 | entries |`,
  );
  console.log('|---|---|---|---|---|---|');
  for (const [name, { p50, p99, found }] of large) {
    const before = small.get(name)!;
    const goal = WORKS.find(({ work }) => name.startsWith(work))!.goal;
    console.log(
      `| ${name} | ${before.p50.toFixed(2)} / ${before.p99.toFixed(2)} | ${p50.toFixed(2)} / ${p99.toFixed(2)} | ${(p50 / before.p50).toFixed(2)} | ${goal} | ${found.toFixed(1)} |`,
    );
  }
}

async function printHttp(databaseUrl: string, askers: readonly Asker[]): Promise<void> {
  const environment = { HUB_TOKEN_LIFETIME: '3600' };
  const hub = await startHubProcess({ databaseUrl, environment });
  const preload = fileURLToPath(new URL('./without-audit.js', import.meta.url));
  const unaudited = await startHubProcess({ databaseUrl, environment, nodeArguments: ['--import', preload] });
  try {
    console.log('\n| HTTP | alone, p50 / p99 ms | 16 at once, /s | without the audit’s write, /s | ratio | goal |');
    console.log('|---|---|---|---|---|---|');
    for (const asker of askers) {
      const audited = await clientFor(hub, asker);
      const bare = await clientFor(unaudited, asker);
      for (const { work, path } of WORKS) {
        const run = (client: typeof audited) => async (i: number) =>
          void (await client.call('GET', `/fhir/ImagingStudy?${path(asker, i)}`, 200));
        const alone = await measure(run(audited), { concurrency: 1, seconds: SECONDS });
        // in turns, so that a machine that becomes slower does so for both
        const turns = [];
        for (let turn = 0; turn < 3; turn += 1)
          turns.push([
            (await measure(run(audited), { seconds: SECONDS / 2 })).perSecond,
            (await measure(run(bare), { seconds: SECONDS / 2 })).perSecond,
          ] as const);
        const [withAudit, without] = turns.sort((a, b) => a[0] / a[1] - b[0] / b[1])[1]!;
        const goal = work === 'one patient’s studies' ? '0.85' : work === 'newest 50 CT' ? '0.7' : '-';
        console.log(
          `| ${work}, ${asker.name} | ${alone.p50.toFixed(1)} / ${alone.p99.toFixed(1)} | ${Math.round(withAudit)} | ${Math.round(without)} | ${(withAudit / without).toFixed(2)} | ${goal} |`,
        );
      }
      await audited.close();
      await bare.close();
    }
  } finally {
    await hub.stop();
    await unaudited.stop();
  }
}

async function clientFor(hub: TestHub, { hospital }: Asker) {
  const { token } = await joinHospital(hub, { id: hospital, assigner: `urn:assigner:${hospital}` });
  return httpClient(hub.url, { authorization: `Bearer ${token}` });
}
