import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { crossHospitalAccess } from '../../reports/cross-hospital-access.js';
import { exceptionalAccess } from '../../reports/exceptional-access.js';
import { exchangeVolume } from '../../reports/exchange-volume.js';
import { type Period, period, type Report, type Row, reports, runReport } from '../../reports/index.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';
import { type World, makeWorld, seed } from './world.js';

const OFFSET = '+08:00';
/** The month in which an instant falls where the region is. */
const monthOf = (at: Date): string => new Date(at.getTime() + 8 * 3600_000).toISOString().slice(0, 7);
const dayOf = (at: Date): string => new Date(at.getTime() + 8 * 3600_000).toISOString().slice(0, 10);

describe('the reports', () => {
  const world: World = makeWorld(20251123);
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
    await seed(database.db, world);
  });
  afterAll(() => database.close());

  const run = (report: Report, parameters: Period): Promise<Row[]> =>
    runReport(report, async (text, values) => (await database.db.pool.query(text, [...values])).rows, parameters, OFFSET, 5);

  it.each([
    { from: '2025-09', until: '2025-12' },
    { from: '2025-10', until: '2025-11' },
    { from: '2023-01', until: '2025-10' },
  ])('count the exchange of %o as plain loops do', async (months) => {
    const expected = volumeByLoops(world, months);
    expect(expected.length).toBeGreaterThan(months.from === '2023-01' ? 0 : 3);
    expect(sorted(await run(exchangeVolume, months))).toEqual(sorted(expected));
  });

  it('count accesses across hospitals, those refused included, as plain loops do', async () => {
    const months = { from: '2025-09', until: '2025-12' };
    const expected = accessesByLoops(world, months);
    expect(expected.some((r) => r.outcome === 'refused')).toBe(true);
    expect(sorted(await run(crossHospitalAccess, months))).toEqual(sorted(expected));
  });

  it('give the same sum for three months as for each of them', async () => {
    const sum = async (from: string, until: string) => {
      const rows = (await run(exchangeVolume, { from, until })).filter((r) => r.by === 'hospital');
      return ['studies', 'series', 'instances'].map((name) => rows.reduce((total, row) => total + Number(row[name]), 0));
    };
    const parts = [await sum('2025-09', '2025-10'), await sum('2025-10', '2025-11'), await sum('2025-11', '2025-12')];
    expect(await sum('2025-09', '2025-12')).toEqual([0, 1, 2].map((i) => parts.reduce((total, part) => total + part[i]!, 0)));
  });

  it.each(reports.map((r) => [r.name, r] as const))(
    '%s answers exactly its columns, and no patient, person or record',
    async (_, report) => {
      const rows = await run(report, { from: '2025-09', until: '2025-12' });
      expect(rows.length).toBeGreaterThan(0);
      for (const row of rows) {
        expect(Object.keys(row).sort()).toEqual(report.columns.map((c) => c.name).sort());
        // null in the row that counts what is not shown
        const counted = report.columns.filter(({ name, type }) => type === 'integer' && row[name] !== null);
        for (const { name } of counted) expect([name, Number.isInteger(row[name])]).toEqual([name, true]);
      }
      const text = JSON.stringify(rows);
      for (const secret of ['patient-', 'Practitioner', 'study-', '1.2.3', 'query']) expect(text).not.toContain(secret);
    },
  );

  it('count break-glass and what its reviews found', async () => {
    const counts = { opened: 1, confirmed: 0, justified: 0, not_justified: 0, owed: 0, overdue: 0 };
    const of = { kind: 'break-glass', organization: 'hospital-a', name: '医院 hospital-a', month: '2025-10' };
    expect(await run(exceptionalAccess, { from: '2025-10', until: '2025-11' })).toEqual([
      { ...of, reason: 'other', ...counts, overdue: 1 },
      { ...of, reason: 'unconscious', ...counts, opened: 2, justified: 1, not_justified: 1 },
    ]);
  });

  it('refuse an empty period, one that is too long, and what is no month', async () => {
    for (const parameters of [
      { from: '2025-10', until: '2025-10' },
      { from: '2025-11', until: '2025-10' },
      { from: '2022-01', until: '2025-02' },
    ]) {
      await expect(run(exchangeVolume, parameters)).rejects.toThrow(RangeError);
    }
    for (const month of ['2025', '2025-13', '2025-00', '2025-1', "2025-01'", '1999-01']) {
      expect(period.safeParse({ from: month, until: '2025-02' }).success).toBe(false);
    }
  });
});

const sorted = (rows: readonly Row[]): string[] => rows.map((r) => JSON.stringify(Object.entries(r).sort())).sort();

const inside = (at: Date, months: Period): boolean => monthOf(at) >= months.from && monthOf(at) < months.until;

const nameOf = (world: World, id: string): string | null => world.organizations.find((o) => o.id === id)?.name ?? null;

function volumeByLoops(world: World, months: Period): Row[] {
  const rows = new Map<string, Row>();
  const add = (organization: string, modality: string | null, at: Date, what: string): void => {
    if (!inside(at, months)) return;
    const groups = [['hospital', organization]];
    for (const m of world.members)
      if (m.hospital === organization && m.from <= at && at < m.until) groups.push(['consortium', m.consortium]);
    for (const [by, id] of groups) {
      const key = JSON.stringify([by, id, modality, monthOf(at)]);
      const row: Row = rows.get(key) ?? {
        ...{ by: by!, organization: id!, name: nameOf(world, id!), modality, month: monthOf(at) },
        ...{ studies: 0, series: 0, instances: 0, given: 0, received: 0 },
      };
      row[what] = Number(row[what]) + 1;
      rows.set(key, row);
    }
  };
  const seen = new Set<string>();
  for (const i of [...world.instances].sort((a, b) => a.at.getTime() - b.at.getTime() || (a.uid < b.uid ? -1 : 1))) {
    add(i.custodian, i.modality, i.at, 'instances');
    const study = `${i.custodian} ${i.study} ${i.modality}`;
    if (!seen.has(study)) add(i.custodian, i.modality, i.at, 'studies');
    seen.add(study);
    const series = `${i.custodian} ${i.series}`;
    if (!seen.has(series)) add(i.custodian, i.modality, i.at, 'series');
    seen.add(series);
  }
  const retrieved = new Set<string>();
  for (const a of world.accesses) {
    if (a.subtype !== 'retrieve' || a.outcome !== 0 || !a.recipient || !a.custodian || a.recipient === a.custodian) continue;
    const modalities = world.studies.find((s) => s.id === a.study)?.modalities ?? [];
    for (const modality of modalities.length > 0 ? modalities : [null]) {
      const key = [a.custodian, a.recipient, a.agent, a.study, modality, dayOf(a.at)].join(' ');
      if (retrieved.has(key)) continue;
      retrieved.add(key);
      add(a.custodian, modality, a.at, 'given');
      add(a.recipient, modality, a.at, 'received');
    }
  }
  return [...rows.values()];
}

function accessesByLoops(world: World, months: Period): Row[] {
  const rows = new Map<string, Row>();
  for (const a of world.accesses) {
    if (!inside(a.at, months) || !a.recipient || !a.custodian || a.recipient === a.custodian) continue;
    const outcome = { 0: 'allowed', 4: 'refused', 8: 'failed' }[a.outcome];
    const key = JSON.stringify([a.custodian, a.recipient, a.purpose, outcome, a.basis, monthOf(a.at)]);
    const row = rows.get(key) ?? {
      custodian: a.custodian,
      custodian_name: nameOf(world, a.custodian),
      recipient: a.recipient,
      recipient_name: nameOf(world, a.recipient),
      purpose: a.purpose,
      outcome: outcome!,
      basis: a.basis,
      month: monthOf(a.at),
      accesses: 0,
    };
    row.accesses = Number(row.accesses) + 1;
    rows.set(key, row);
  }
  return [...rows.values()];
}
