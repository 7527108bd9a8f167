import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createResources } from '../../hub/store/resources.js';
import { sql } from '../../hub/store/sql.js';
import { modelPerformance } from '../../reports/model-performance.js';
import { type Row, runReport } from '../../reports/index.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

const run = async (from: string, until: string): Promise<Row[]> =>
  runReport(
    modelPerformance,
    async (text, values) => (await database.db.pool.query(text, [...values])).rows,
    { from, until },
    '+08:00',
    5,
  );

interface Job {
  /** Persons are numbered; each has a study of her own. */
  person: number;
  ended: string;
  outcome?: 'scored' | 'not-applicable' | 'failed';
  score?: number | null;
  positive?: boolean;
  version?: string;
  hospital?: string;
  superseded?: boolean;
  reviews?: { decision: 'accept' | 'correct' | 'reject'; positive: boolean; counts?: [number, number, number] }[];
}

let jobs = 0;
async function store(all: readonly Job[]): Promise<void> {
  for (const { person, ended, outcome = 'scored', score = 0.5, positive = false, reviews = [], ...more } of all) {
    const task = `t${jobs++}`;
    const isScored = outcome === 'scored';
    await database.db.query(sql`
      insert into scoring_result (task_id, report_id, focus_type, focus_id, focus_version, custodian_id, requester_id, model, model_version, outcome, positive, score, findings, requested, ended, superseded_by, superseded_at)
      values (${task}, ${isScored ? `r-${task}` : null}, 'ImagingStudy', ${`s${person}`}, 1, ${more.hospital ?? 'h'}, 'h', 'm', ${more.version ?? '1.0.0'}, ${outcome},
        ${isScored ? positive : null}, ${isScored ? score : null}, ${isScored ? 1 : null}, ${ended}::timestamptz - interval '20 seconds', ${ended}::timestamptz,
        ${more.superseded ? 'r-x' : null}, ${more.superseded ? ended : null}::timestamptz)`);
    for (const [i, r] of reviews.entries()) {
      const [removed, added, changed] = r.counts ?? [0, 0, 0];
      await database.db.query(sql`
        insert into scoring_review (report_id, report_version, reviewed_version, decision, reason, reviewer, organization_id, positive, findings_removed, findings_added, findings_changed)
        values (${`r-${task}`}, ${i + 2}, ${i + 1}, ${r.decision}, 'other', 'Practitioner/x', 'h', ${r.positive}, ${removed}, ${added}, ${changed})`);
    }
  }
}

const NUMBERS = Array.from({ length: 40 }, (_, i) => i);

it('counts what physicians said, how the scores lie against the first month, and shows no group of too few persons', async () => {
  await createResources(
    database.db,
    NUMBERS.flatMap((n) => [
      { custodianId: 'h', resource: { resourceType: 'Patient', id: `p${n}`, name: [{ text: '王小东' }] } },
      {
        custodianId: 'h',
        resource: { resourceType: 'ImagingStudy', id: `s${n}`, status: 'available', subject: { reference: `Patient/p${n}` } },
      },
    ]),
  );
  // four persons, although there are five patients: two of these are one person
  await database.db.query(sql`insert into cross_reference (patient_id, cluster_id) values ('p0', 'c'), ('p1', 'c')`);
  await store([
    // the reference month: scores spread evenly from 0 to 0.975
    ...NUMBERS.map((n) => ({ person: n, ended: '2025-09-10T00:00:00Z', score: n / 40, positive: n >= 20 })),
    // the same scores, and what physicians said of them; the last instant of the month in the region, which is UTC+8
    ...NUMBERS.map(
      (n): Job => ({
        person: n,
        ended: '2025-10-31T15:59:59Z',
        score: n / 40,
        positive: n >= 20,
        reviews:
          n < 2
            ? [{ decision: 'accept', positive: false }]
            : n === 2
              ? [{ decision: 'correct', positive: true, counts: [0, 2, 0] }]
              : n >= 37
                ? [{ decision: 'accept', positive: true }]
                : n === 36
                  ? [
                      { decision: 'accept', positive: true },
                      { decision: 'correct', positive: false, counts: [1, 0, 3] },
                    ]
                  : n === 35
                    ? [{ decision: 'reject', positive: true }]
                    : [],
        superseded: n === 30,
      }),
    ),
    { person: 3, ended: '2025-10-05T00:00:00Z', outcome: 'not-applicable' },
    { person: 4, ended: '2025-10-05T00:00:00Z', outcome: 'failed' },
    // shifted in the next month
    ...NUMBERS.map((n) => ({ person: n, ended: '2025-10-31T16:00:00Z', score: 0.5 + n / 80, positive: true })),
    // too few persons
    ...[0, 1, 2, 3, 4].map((n) => ({ person: n, ended: '2025-10-15T00:00:00Z', hospital: 'small' })),
    // scores without a value: nothing was found
    ...NUMBERS.map((n) => ({ person: n, ended: '2025-10-15T00:00:00Z', version: '2.0.0', score: null })),
  ]);
  const [october, november, second, last, ...rest] = await run('2025-10', '2025-12');
  expect(rest).toEqual([]);
  expect(october).toMatchObject({
    model: 'm',
    model_version: '1.0.0',
    organization: 'h',
    month: '2025-10',
    jobs: 42,
    scored: 40,
    accepted: 5,
    corrected: 2,
    rejected: 1,
    unreviewed: 31,
    superseded: 1,
    // of 35 to 39, three were found to be right
    positive_agreement: 0.6,
    // of 0 to 2, two
    negative_agreement: 0.667,
    findings_removed: 1,
    findings_added: 2,
    findings_changed: 3,
    positive_share: 0.5,
    mean_score: 0.488,
    median_score: 0.488,
    median_change: 0,
    stability_index: 0,
    reference: '2025-09',
    not_applicable: 1,
    failure_share: 0.024,
    median_seconds: 20,
    suppressed: 0,
  });
  expect(november).toMatchObject({
    month: '2025-11',
    positive_share: 1,
    median_score: 0.744,
    median_change: 0.256,
    reference: '2025-09',
  });
  // half of the deciles are empty, the others hold twice as many: 5 * (0.1 - 0.5/45) * ln(9) + 5 * (8.5/45 - 0.1) * ln(8.5/4.5)
  expect(Number(november!['stability_index'])).toBeCloseTo(1.26, 1);
  expect(second).toMatchObject({
    model_version: '2.0.0',
    scored: 40,
    mean_score: null,
    median_score: null,
    stability_index: null,
  });
  expect(last).toMatchObject({ model: null, organization: null, suppressed: 5 });
});
