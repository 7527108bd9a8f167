import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { clusterOf } from '../../../hub/identity/cluster.js';
import { link, pairOf, unlink } from '../../../hub/identity/links.js';
import { sql } from '../../../hub/store/sql.js';
import { HOSPITALS, type Hospitals, openHospitals, person } from './hospitals.js';

let world: Hospitals;
beforeAll(async () => {
  world = await openHospitals();
});
afterAll(() => world.end());

type Step = { kind: 'link' | 'unlink' | 'reject'; x: number; y: number };

/** Links and partings in plain loops: the components of a graph, found anew by walking it. */
class Oracle {
  linked = new Set<string>();
  apart = new Set<string>();
  constructor(readonly size: number) {}

  component(x: number): number[] {
    const seen = new Set([x]);
    for (const at of seen) for (let y = 0; y < this.size; y++) if (this.linked.has(edge(at, y))) seen.add(y);
    return [...seen].sort((a, b) => a - b);
  }

  apply({ kind, x, y }: Step): void {
    if (kind === 'unlink') {
      if (this.linked.delete(edge(x, y))) this.apart.add(edge(x, y));
      return;
    }
    if (kind === 'reject') {
      if (!this.linked.has(edge(x, y))) this.apart.add(edge(x, y));
      return;
    }
    const [left, right] = [this.component(x), this.component(y)];
    const crossing = left.includes(y) ? [] : left.flatMap((a) => right.map((b) => edge(a, b))).filter((e) => e !== edge(x, y));
    if (crossing.some((e) => this.apart.has(e))) return;
    this.linked.add(edge(x, y));
    this.apart.delete(edge(x, y));
  }
}

const edge = (x: number, y: number): string => (x < y ? `${x} ${y}` : `${y} ${x}`);

describe('Links', () => {
  it('join Patients as the components of a graph do, whatever the order of linking, rejecting and unlinking', async () => {
    const size = 7;
    const step = fc
      .tuple(fc.constantFrom('link', 'link', 'link', 'unlink', 'unlink', 'reject'), fc.nat(size - 1), fc.nat(size - 1))
      .filter(([, x, y]) => x !== y)
      .map(([kind, x, y]) => ({ kind, x, y }) as Step);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        run++;
        const rows = [];
        for (let i = 0; i < size; i++)
          rows.push(...(await world.register(HOSPITALS[i % 3]!, unlike(HOSPITALS[i % 3]!, `${run}-${i}`))));
        const ids = rows.map((r) => r.id);
        const oracle = new Oracle(size);
        for (const s of steps) {
          oracle.apply(s);
          await take(s, ids);
          await expectAsOracle(oracle, ids);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('carry consents and registrations to all of the person, and take them back', async () => {
    const [a] = await world.register('a', unlike('a', 'c-1'));
    const [b] = await world.register('b', unlike('b', 'c-2'));
    const pair = pairOf(a!.id, b!.id);
    await world.db.transaction((tx) => link(tx, [pair], { by: 'Account/x', basis: 'demographics' }));
    expect(await world.registrations(a!.id)).toEqual(['a', 'b']);
    const told: string[][] = [];
    const touched = await world.db.transaction((tx) => unlink(tx, pair, 'Account/x', async (_, ids) => void told.push([...ids])));
    expect(touched.sort()).toEqual([pair.a, pair.b]);
    expect(told.map((ids) => ids.sort())).toEqual([[pair.a, pair.b]]);
    expect(await world.registrations(a!.id)).toEqual(['a']);
    expect(await clusterOf(world.db, a!.id)).toEqual([a!.id]);
    expect(await world.db.transaction((tx) => unlink(tx, pair, 'Account/x', async () => undefined))).toEqual([]);
  });

  it('end as they should when they are made and unmade at the same time', async () => {
    const rows = (await Promise.all(HOSPITALS.flatMap((h) => [1, 2].map((i) => world.register(h, unlike(h, `p-${i}`)))))).flat();
    const pairs = rows.slice(1).map((r, i) => pairOf(rows[i]!.id, r.id));
    await Promise.all(pairs.map((p) => world.db.transaction((tx) => link(tx, [p], { by: 'x', basis: 'demographics' }))));
    expect(await clusterOf(world.db, rows[0]!.id)).toEqual(rows.map((r) => r.id).sort());
    await Promise.all(pairs.map((p) => world.db.transaction((tx) => unlink(tx, p, 'x', async () => undefined))));
    expect(
      await world.db.query(sql`select 1 from cross_reference where patient_id = any(${rows.map((r) => r.id)}::text[])`),
    ).toEqual([]);
  });
});

/** A Patient like no other: nothing is proposed beside what the test does. */
const unlike = (hospital: (typeof HOSPITALS)[number], number: string) => ({
  ...person(hospital, `${hospital}-${number}`),
  gender: 'unknown',
});

async function take({ kind, x, y }: Step, ids: readonly string[]): Promise<void> {
  const pair = pairOf(ids[x]!, ids[y]!);
  await world.db.transaction(async (tx) => {
    if (kind === 'link') await link(tx, [pair], { by: 'Account/x', basis: 'demographics' });
    else if (kind === 'unlink') await unlink(tx, pair, 'Account/x', async () => undefined);
    else
      await tx.query(sql`
        insert into link_decision as d (id, patient_a, patient_b, custodian_a, custodian_b, state, basis)
        values (${`${pair.a} ${pair.b}`}, ${pair.a}, ${pair.b}, '', '', 'rejected', 'demographics')
        on conflict (patient_a, patient_b) do update set state = 'rejected' where d.state <> 'linked'`);
  });
}

async function expectAsOracle(oracle: Oracle, ids: readonly string[]): Promise<void> {
  for (const [i, id] of ids.entries()) {
    const component = oracle.component(i);
    expect(await clusterOf(world.db, id)).toEqual(component.map((m) => ids[m]!).sort());
    expect(await world.registrations(id)).toEqual([...new Set(component.map((m) => HOSPITALS[m % 3]!))].sort());
  }
}
