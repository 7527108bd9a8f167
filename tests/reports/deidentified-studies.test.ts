import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { systems } from '../../fhir-profiles/codes.js';
import { createResources } from '../../hub/store/resources.js';
import { raw, sql } from '../../hub/store/sql.js';
import { deidentifiedStudies } from '../../reports/deidentified-studies.js';
import { type Row, runReport } from '../../reports/index.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

const run = async (smallestGroup: number): Promise<Row[]> =>
  runReport(
    deidentifiedStudies,
    async (text, values) => (await database.db.pool.query(text, [...values])).rows,
    { from: '2025-10', until: '2025-12' },
    '+08:00',
    smallestGroup,
  );

interface Person {
  gender: string | undefined;
  birthDate: string | undefined;
  /** Registered at two hospitals, as one person. */
  linked: boolean;
  studies: { started: string; modality: string[]; restricted: boolean; atSecond: boolean }[];
}

const people = fc.array(
  fc.record<Person>({
    gender: fc.constantFrom('female', 'female', 'male', undefined),
    birthDate: fc.constantFrom('1950-12-31', '1959-01-01', '1949', '1930-05', undefined),
    linked: fc.boolean(),
    studies: fc.array(
      fc.record({
        started: fc.constantFrom(
          '2025-09-30T16:00:00Z',
          '2025-10-31T15:59:59Z',
          '2025-10-31T16:00:00Z',
          '2025-09-30T15:59:59Z',
          '2025-11-30T16:00:00Z',
        ),
        modality: fc.constantFrom(['CT'], ['CT', 'SR'], []),
        restricted: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
        atSecond: fc.boolean(),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  { minLength: 10, maxLength: 30 },
);

async function store(all: readonly Person[]): Promise<void> {
  await database.db.pool.query('truncate resource, resource_history, cross_reference, name_word');
  for (const [i, p] of all.entries()) {
    const patient = (at: number) => `p${i}-${p.linked ? at : 0}`;
    await createResources(database.db, [
      ...[...new Set([patient(0), patient(1)])].map((id) => ({
        custodianId: 'h',
        resource: { resourceType: 'Patient', id, name: [{ text: '王小东' }], gender: p.gender, birthDate: p.birthDate },
      })),
      ...p.studies.map((s, n) => ({
        custodianId: 'h',
        resource: {
          resourceType: 'ImagingStudy',
          id: `s${i}-${n}`,
          status: 'available',
          subject: { reference: `Patient/${patient(s.atSecond ? 1 : 0)}` },
          started: s.started,
          modality: s.modality.map((code) => ({ system: systems.dicomTerminology, code })),
          ...(s.restricted ? { meta: { security: [{ system: systems.confidentiality, code: 'R' }] } } : {}),
        },
      })),
    ]);
    if (p.linked)
      await database.db.query(
        sql`insert into cross_reference (patient_id, cluster_id) values (${patient(0)}, ${`c${i}`}), (${patient(1)}, ${`c${i}`})`,
      );
  }
  await database.db.query(raw('analyze resource'));
}

/** The rows as plain loops find them, from the description of the report. */
function byLoops(all: readonly Person[], least: number): { shown: string[]; suppressed: number } {
  const groups = new Map<string, { persons: Set<number>; studies: number }>();
  let suppressed = 0;
  for (const [i, p] of all.entries())
    for (const s of p.studies) {
      const local = new Date(Date.parse(s.started) + 8 * 3_600_000).toISOString();
      const month = local.slice(0, 7);
      if (month < '2025-10' || month >= '2025-12') continue;
      if (s.restricted) {
        suppressed++;
        continue;
      }
      const years = p.birthDate === undefined ? undefined : Number(local.slice(0, 4)) - Number(p.birthDate.slice(0, 4));
      const decade = Math.floor((years ?? 0) / 10) * 10;
      const age = years === undefined ? 'unknown' : years >= 90 ? '90+' : `${decade}-${decade + 9}`;
      const key = JSON.stringify([month, s.modality.join('+') || null, null, p.gender ?? 'unknown', age]);
      const group = groups.get(key) ?? { persons: new Set(), studies: 0 };
      group.persons.add(i);
      group.studies++;
      groups.set(key, group);
    }
  const shown: string[] = [];
  for (const [key, { persons, studies }] of groups)
    if (persons.size >= least) shown.push(...new Array<string>(studies).fill(key));
    else suppressed += studies;
  return { shown: shown.sort(), suppressed };
}

it('shows a row of each study whose values enough persons share, and counts the others', async () => {
  await fc.assert(
    fc.asyncProperty(people, fc.constantFrom(2, 3, 5), async (all, least) => {
      await store(all);
      const rows = await run(least);
      const expected = byLoops(all, least);
      const values = (row: Row) => JSON.stringify([row.month, row.modality, row.body_site, row.sex, row.age]);
      expect(rows.at(-1)).toEqual({
        month: null,
        modality: null,
        body_site: null,
        sex: null,
        age: null,
        suppressed: expected.suppressed,
      });
      expect(rows.slice(0, -1).map(values).sort()).toEqual(expected.shown);
    }),
    { numRuns: 25 },
  );
  const same = fc.sample(fc.tuple(people, fc.constantFrom(2, 3, 5)), { numRuns: 25, seed: 20260101 });
  expect(same.filter(([all, least]) => byLoops(all, least).shown.length > 0).length).toBeGreaterThan(0);
});
