import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Database, openDatabase, type Queryable } from '../../../hub/store/database.js';
import { Sql } from '../../../hub/store/sql.js';
import { samplePatient } from '../../support/fhir-samples.js';
import { type RunningHub, startHub, type TestPerson } from '../../support/running-hub.js';
import { emptyDatabase, type TestDatabase, testProtection } from '../../support/test-database.js';
import { ask, type Asked, type Named, requests, searches } from './generated-requests.js';
import { happen, settle } from './hidden-world.js';
import { assigner, type Answer, type Client, clientOf, openWorld, studyUidOf, type World } from './world.js';

/** Two hubs on copies of one database; then in one of them much happens that the callers below may not know of. */
let plain: RunningHub;
let busy: RunningHub;
const databases: TestDatabase[] = [];
let named: Named;
/** What both hubs make of their statements; the mutants of the last test change it. */
let mutation: (part: Sql) => Sql = (part) => part;

beforeAll(async () => {
  const origin = await copyOf();
  const world = await openWorld({ database: origin });
  await world.systems.c.post(samplePatient(assigner('c'), 'C2', { name: [{ text: '郑王吴' }], birthDate: '1991-01-01' }));
  for (let i = 0; i < 3; i += 1) await world.study('c', world.patientOfC, { started: `202${i}-05-06` });
  const settled = await settle(world);
  await world.hub.stop();
  await origin.db.close();
  const [one, other] = [await copyOf(origin.url), await copyOf(origin.url)];
  [plain, busy] = [await hubOn(one, world), await hubOn(other, world)];
  await sameAccounts(one, other);
  const secrets = await happen(busy, other.db, world, settled);
  const seen = [world.studyOfC, world.studyOfA, world.patientOfA, ...Object.values(settled)];
  named = {
    records: [
      ...secrets.records,
      'ImagingStudy/0190aaaa-0000-7000-8000-000000000000',
      ...seen.map((r) => `${r.resourceType}/${r.id}`),
    ],
    patients: [
      ...secrets.patients,
      ...[world.patientOfC, world.patientOfD, world.patientOfA, world.otherOfA, settled.ofA, settled.ofB, settled.ofE].map(
        (p) => p.id,
      ),
      'nobody',
    ],
    uids: [...secrets.uids, ...[world.studyOfC, world.studyOfA, settled.studyOfA, settled.studyOfB].map(studyUidOf), '2.25.1'],
    numbers: [`${assigner('a')}|C1`, 'C1', 'C2', 'A1', 'A5', 'B5', 'B6', 'E1'],
  };
});
afterAll(async () => {
  for (const hub of [plain, busy]) await hub?.stop();
  for (const database of databases) await database.close();
});

async function copyOf(url?: string): Promise<TestDatabase> {
  const { url: address, drop } = await emptyDatabase(url ? new URL(url).pathname.slice(1) : process.env.TEST_DATABASE_TEMPLATE);
  const db = await openDatabase(address, { protection: testProtection(), poolSize: 4 });
  const close = async (): Promise<void> => {
    await db.close().catch(() => undefined);
    await drop();
  };
  const database = { db, url: address, close };
  databases.unshift(database);
  return database;
}

async function hubOn(database: TestDatabase, world: World): Promise<RunningHub> {
  const hub = await startHub({ database: { ...database, db: mutable(database.db) }, config: { rateLimit: 0 } });
  const of = (organizationId: string, role: TestPerson['role'], name: string): TestPerson => ({
    username: `${name}-${organizationId}`,
    role,
    organizationId,
  });
  await hub.enrol(
    ...['c', 'd', 'e'].map((id) => of(id, 'physician', 'physician')),
    ...['c', 'e'].flatMap((id) => [of(id, 'hospital-administrator', 'administrator'), of(id, 'identity-steward', 'steward')]),
    of('commission', 'auditor', 'auditor'),
    { username: 'patient-2', role: 'patient', patientId: world.otherOfA.id },
  );
  return hub;
}

/** Cursors are bound to the account: the same people have the same accounts in both worlds. */
async function sameAccounts(one: TestDatabase, other: TestDatabase): Promise<void> {
  const { rows } = await one.db.pool.query(
    "select subject, id from account where issuer = (select issuer from account where subject = 'physician-e')",
  );
  for (const { subject, id } of rows)
    await other.db.pool.query(
      "update account set id = $1 where subject = $2 and issuer = (select issuer from account where subject = 'physician-e')",
      [id, subject],
    );
}

function mutable(db: Database): Database {
  const query = (on: Queryable): Queryable => ({ query: (statement) => on.query(mutated(statement)) });
  return {
    ...db,
    ...query(db),
    snapshot: (work) => db.snapshot((tx) => work(query(tx))),
    transaction: (work) => db.transaction((tx) => work(query(tx))),
  };
}

const mutated = (part: Sql): Sql => {
  const { strings, values } = mutation(part);
  return new Sql(
    strings,
    values.map((value) => (value instanceof Sql ? mutated(value) : value)),
  );
};

/** Status, body, ETag and all other headers, without what differs by nature: where the hub is, the time, the request's own id. */
function comparable(hub: RunningHub, { status, text, headers }: Answer) {
  const same = (value: string): string => value.replaceAll(hub.url, 'hub').replaceAll(encodeURIComponent(hub.url), 'hub');
  const { date: _date, 'x-request-id': _id, ...rest } = headers;
  return { status, text: same(text), headers: same(JSON.stringify(rest)) };
}

const nextOf = (hub: RunningHub, { body }: Answer): string | undefined =>
  body?.link?.find((l: { relation: string }) => l.relation === 'next')?.url.slice(hub.url.length);

type Pair = readonly [Client, Client];

async function clientsOf(who: string): Promise<Pair> {
  const [, system] = /^system of (.)$/.exec(who) ?? [];
  const of = async (hub: RunningHub) => clientOf(hub, await (system ? hub.system(system) : hub.person(who)));
  return [await of(plain), await of(busy)];
}

/** The answers of both hubs, page after page to the end. */
async function answers([one, other]: Pair, asked: Asked) {
  const pages = [];
  let [left, right] = await Promise.all([ask(one, asked), ask(other, asked)]);
  for (let next: string | undefined; ; ) {
    pages.push([comparable(plain, left), comparable(busy, right)] as const);
    next = nextOf(plain, left);
    const follows = next && nextOf(busy, right);
    if (!next || !follows || pages.length > 30) return pages;
    [left, right] = await Promise.all([one.get(next), other.get(follows)]);
  }
}

/** Pages with something in them, by caller: of the requests that are the same in every run. */
const answered = new Map<string, number>();

/** Whom, and what is not asked: an auditor is told about anybody's access. */
const callers: [who: string, isAsked?: (asked: Asked) => boolean][] = [
  ['physician-e'],
  ['system of e'],
  ['physician-c'],
  ['physician-d'],
  ['administrator-e'],
  ['steward-c'],
  ['patient-2'],
  ['auditor-commission', ({ path }) => path !== '/access/explain'],
];

describe('two databases that differ only in what a caller may not know of', () => {
  it.each(callers)('answer %s byte for byte the same', async (who, isAsked = () => true) => {
    const clients = await clientsOf(who);
    const asks = requests(named).filter(isAsked);
    const numRuns = who.endsWith('e') ? 60 : 30;
    const same = async (asked: Asked) => {
      const pages = await answers(clients, asked);
      for (const [left, right] of pages) expect(right).toEqual(left);
      return pages.filter(([{ status, text }]) => status === 200 && text.includes('fullUrl')).length;
    };
    let found = 0;
    for (const asked of fc.sample(asks, { numRuns, seed: 20260103 })) found += await same(asked);
    answered.set(who, found);
    await fc.assert(
      fc.asyncProperty(asks, async (asked) => void (await same(asked))),
      { numRuns },
    );
  });
  it('had something to say', () => {
    const of = (who: string): number => answered.get(who) ?? 0;
    expect(Math.min(of('physician-e'), of('system of e'))).toBeGreaterThan(10);
    expect([...answered.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(40);
  });

  /** Leaves out the last of conditions that hold together: where the policy stands. */
  const withoutPolicy = (part: Sql, at: number): Sql => {
    const conditions = part.values[at] as Sql;
    const list = conditions.values[0] as Sql;
    const less = new Sql([...list.strings.slice(0, -2), ''], list.values.slice(0, -1));
    return new Sql(part.strings, part.values.with(at, new Sql(conditions.strings, [less])));
  };
  const dropping = (marker: string, at: number) => (part: Sql) =>
    part.strings.some((text) => text.includes(marker)) ? withoutPolicy(part, at) : part;
  it.each([
    ['of a chain', /[?&][\w-]+:[A-Z]\w+\./, dropping('&& array(select', 1)],
    ['of a chain over the patient', /(patient|subject):Patient\./, dropping('with named as materialized', 0)],
    ['of _has', /_has:/, dropping('as referred (token)', 1)],
    ['of _has by a patient', /_has:\w+:(patient|subject):/, dropping('r.id in (select r.patient_id', 0)],
    ['of a count', /_summary=count|_total/, dropping('select 1 from ', 1)],
  ] as [string, RegExp, (part: Sql) => Sql][])('would not, without the policy %s', async (_of, concerns, mutant) => {
    const clients = await clientsOf('physician-e');
    mutation = mutant;
    try {
      for (let part = 0; part < 80; part += 1)
        for (const asked of fc.sample(
          searches(named).filter(({ path }) => concerns.test(path)),
          { numRuns: 25, seed: 20260101 + part },
        ))
          for (const [left, right] of await answers(clients, asked)) {
            expect(left.status).toBeLessThan(500);
            if (left.text !== right.text) return;
          }
    } finally {
      mutation = (part) => part;
    }
    throw new Error('not noticed');
  });
});
