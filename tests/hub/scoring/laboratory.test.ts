import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { Workers } from '../../../hub/jobs/workers.js';
import { clinicalWriter } from '../../../hub/referral/clinical-writer.js';
import { createAutomaticScoring } from '../../../hub/scoring/automatic.js';
import { replayScore } from '../../../hub/scoring/replay/replay.js';
import { scoredOnArrival } from '../../../hub/scoring/report-writer.js';
import { findScoreRecord } from '../../../hub/scoring/score-record.js';
import { startScoringWorkers } from '../../../hub/scoring/worker.js';
import { findResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { TEST_SECRET } from '../../support/test-database.js';
import { hub as command } from '../commands/command-line.js';
import { type Client, caller, kind, openRegion, organization, type Region } from '../referral/region.js';

let region: Region;
let a: Client;
let workers: Workers;
const model = 'proteomic-severity';

beforeAll(async () => {
  region = await openRegion();
  a = region.as(caller('hospital-a'));
  workers = startScoringWorkers({
    permission: region.permission,
    db: region.db,
    audit: region.audit,
    models: region.models,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    retrieve: () => Promise.reject(new Error('no images')),
    config: { scoringTimeout: 60, scoringMemory: 16_384 },
    count: 1,
    idleSeconds: 0.05,
  });
});
afterAll(async () => {
  await workers.stop();
  await region.audit.close();
  await region.close();
});

const panel = () => region.models.get(model)!.accepts.observations!.codes;

const value = (patient: string, code: object, npx: number, day: string, changes: object = {}): FhirResource => ({
  resourceType: 'Observation',
  status: 'final',
  code: { coding: [code] },
  subject: { reference: `Patient/${patient}` },
  effectiveDateTime: `${day}T08:00:00+08:00`,
  valueQuantity: { value: npx, unit: 'NPX', system: systems.ucum, code: '{NPX}' },
  ...changes,
});

/** A laboratory's report of the panel, every protein at the same expression; resolves with its id. */
async function sample(patient: string, npx: number, day: string, changes: (i: number) => object | undefined = () => ({})) {
  const results: { reference: string }[] = [];
  for (const [i, code] of panel().entries()) {
    const change = changes(i);
    if (!change) continue;
    const placed = await a.post(value(patient, code, npx, day, change));
    expect(placed.status).toBe(201);
    results.push({ reference: `Observation/${placed.body.id}` });
  }
  const report = await a.post({
    resourceType: 'DiagnosticReport',
    status: 'final',
    code: { coding: [{ system: systems.loinc, code: '11502-2' }] },
    subject: { reference: `Patient/${patient}` },
    effectiveDateTime: `${day}T08:00:00+08:00`,
    result: results,
  });
  expect(report.status).toBe(201);
  return report.body;
}

const jobsOf = async (report: string): Promise<number> =>
  (await region.db.query(sql`select from scoring_job where focus_id = ${report}`)).length;

const task = (patient: string, report: string, changes: object = {}): FhirResource => ({
  resourceType: 'Task',
  status: 'requested',
  intent: 'order',
  code: kind('scoring-request'),
  focus: { reference: `DiagnosticReport/${report}` },
  for: { reference: `Patient/${patient}` },
  requester: organization('hospital-a'),
  input: [{ type: { text: 'model' }, valueString: model }],
  ...changes,
});

/** Waits for the end of the Task. */
async function ended(id: string): Promise<FhirResource> {
  for (;;) {
    const { body } = await a.read(`Task/${id}`);
    if (['completed', 'failed', 'cancelled'].includes(body.status)) return body;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function scored(patient: string, report: string): Promise<FhirResource> {
  const placed = await a.post(task(patient, report));
  expect([placed.status, placed.body.issue]).toEqual([201, undefined]);
  return ended(placed.body.id);
}

async function resultOf(done: FhirResource): Promise<{ report: FhirResource; score: FhirResource }> {
  const report = (await a.read(done.output[0].valueReference.reference)).body;
  return { report, score: (await a.read(report.result[0].reference)).body };
}

describe('scoring the proteins of a sample', () => {
  it('gives a score at the time of the sample, with what each protein adds to it and where it comes from', async () => {
    const patient = await region.patient('hospital-a');
    const { report, score } = await resultOf(await scored(patient, (await sample(patient, 6.5, '2026-03-04')).id));
    expect(report).toMatchObject({
      status: 'preliminary',
      category: [{ coding: [{ code: 'LAB' }] }],
      conclusion: expect.stringContaining('the threshold is not reached'),
    });
    expect(report.imagingStudy).toBeUndefined();
    expect(score).toMatchObject({ status: 'preliminary', effectiveDateTime: '2026-03-04T08:00:00+08:00' });
    // the value that the model's self-test states for this panel
    expect(score.valueQuantity.value).toBeCloseTo(0.33159, 4);
    expect(score.derivedFrom).toHaveLength(20);
    const added = score.component.filter((c: FhirResource) => c.code.coding[0].code === 'contribution');
    expect(added).toHaveLength(20);
    expect(score.component[0].valueQuantity.value).toBe(20);
  });

  it('counts what is below the limit of detection, absent or withdrawn as missing, and scores with up to four of them', async () => {
    const patient = await region.patient('hospital-a');
    const odd = [
      { valueQuantity: { value: 1, comparator: '<', system: systems.ucum, code: '{NPX}' } },
      { valueQuantity: undefined, dataAbsentReason: { text: 'haemolysed' } },
      { status: 'entered-in-error' },
    ];
    const few = await sample(patient, 6.5, '2026-03-05', (i) => (i === 3 ? undefined : (odd[i] ?? {})));
    const { score } = await resultOf(await scored(patient, few.id));
    expect(score.component[0].valueQuantity.value).toBe(16);
    const fewer = await sample(patient, 6.5, '2026-03-06', (i) => (i < 5 ? undefined : {}));
    expect(await scored(patient, fewer.id)).toMatchObject({
      status: 'failed',
      statusReason: { text: '5 proteins of the panel are missing; at most 4 may be.' },
    });
  });

  it.each([
    ['another unit', { valueQuantity: { value: 6.5, system: systems.ucum, code: 'pg/mL' } }, 'A value is in pg/mL'],
    ['another day', { effectiveDateTime: '2026-03-01' }, 'not of one sample'],
  ])('says why it does not score values of %s', async (_, change, reason) => {
    const patient = await region.patient('hospital-a');
    const report = await sample(patient, 6.5, '2026-03-04', (i) => (i === 7 ? change : {}));
    const done = await scored(patient, report.id);
    expect([done.status, done.statusReason.text]).toEqual(['failed', expect.stringContaining(reason)]);
  });

  it('a corrected value gives a further score; the first stays as it was, and can be made again from the values as they were', async () => {
    const patient = await region.patient('hospital-a');
    const report = await sample(patient, 6.5, '2026-03-04');
    const first = await resultOf(await scored(patient, report.id));
    const interleukin = (await a.read(report.result[0].reference)).body;
    await a.put({ ...interleukin, status: 'corrected', valueQuantity: { ...interleukin.valueQuantity, value: 12 } });
    const second = await resultOf(await scored(patient, report.id));
    expect(second.score.valueQuantity.value).toBeGreaterThan(first.score.valueQuantity.value);
    const { extension, note, meta, ...kept } = (await a.read(`Observation/${first.score.id}`)).body;
    const { meta: _meta, ...before } = first.score;
    expect([kept, meta.versionId, extension[0].url]).toEqual([before, '2', extensions.supersededBy]);
    expect(note[0].text).toBe(`Superseded: the study was scored anew, see DiagnosticReport/${second.report.id}.`);
    const environment = { DATABASE_URL: region.url, HUB_SECRET: TEST_SECRET };
    expect(await command(['score', 'replay', `DiagnosticReport/${first.report.id}`], environment)).toEqual({
      status: 0,
      stdout: `equal  DiagnosticReport/${first.report.id}\n`,
      stderr: '',
    });
    await region.db.query(sql`delete from resource_history where id = ${interleukin.id}`);
    const deps = { db: region.db, timeout: 10, retrieve: () => Promise.reject(new Error('no images')) };
    expect(await replayScore(deps, (await findScoreRecord(region.db, region.db, first.report.id!))!)).toMatchObject({
      equal: false,
      different: [`Observation/${interleukin.id} is gone or was changed.`],
    });
  });

  it('happens by itself where the hospital has a rule for it and the report holds enough values; once a version', async () => {
    const patient = await region.patient('hospital-a');
    const report = await sample(patient, 6.5, '2026-04-01');
    const few = await sample(patient, 6.5, '2026-04-02', (i) => (i < 5 ? undefined : {}));
    const automatic = createAutomaticScoring(region.models, region.audit);
    const writer = scoredOnArrival(clinicalWriter, automatic);
    const arrive = async (id: string): Promise<number> => {
      const before = await jobsOf(id);
      const again = region.with({ DiagnosticReport: writer }, caller('hospital-a'));
      const current = (await a.read(`DiagnosticReport/${id}`)).body;
      expect((await again.put({ ...current, conclusion: `${current.conclusion ?? ''}.` })).status).toBe(200);
      return (await jobsOf(id)) - before;
    };
    expect(await arrive(report.id)).toBe(0);
    await region.db.query(sql`
      insert into connector (id, organization_id, kind, settings) values ('lab', 'hospital-a', 'folder', ${JSON.stringify({ autoScore: [model] })})`);
    expect([await arrive(report.id), await arrive(few.id)]).toEqual([1, 0]);
    const row = (await findResource(region.db, 'DiagnosticReport', report.id))!;
    expect(await region.db.transaction((tx) => automatic(tx, { studyRow: row }))).toBe(0);
  });

  it('needs the right to score the report and each of its results', async () => {
    const patient = await region.patient('hospital-a');
    const report = await sample(patient, 6.5, '2026-03-04');
    const b = region.as(caller('hospital-b'));
    const asked = await b.post(task(patient, report.id, { requester: organization('hospital-b') }));
    expect(asked.status).toBe(422);
    const theirs = await region.patient('hospital-b');
    await region.link(patient, theirs, 'hospital-b');
    const known = await b.post(task(theirs, report.id, { requester: organization('hospital-b') }));
    expect([known.status, known.body.issue[0].details.coding[0].code]).toEqual([403, 'no-basis']);
  });

  it('refuses a report without results, with too many, or with those of another patient, naming the element', async () => {
    const [patient, other] = [await region.patient('hospital-a'), await region.patient('hospital-a')];
    const report = async (result: object[]) =>
      (
        await a.post({
          resourceType: 'DiagnosticReport',
          status: 'final',
          code: { text: 'panel' },
          subject: { reference: `Patient/${patient}` },
          ...(result.length > 0 ? { result } : {}),
        })
      ).body.id;
    const foreign = (await a.post(value(other, panel()[0]!, 6, '2026-03-04'))).body.id;
    const own = (await a.post(value(patient, panel()[0]!, 6, '2026-03-04'))).body.id;
    const cases: [object[], string][] = [
      [[], 'Task.focus.result'],
      [Array.from({ length: 1001 }, () => ({ reference: `Observation/${own}` })), 'Task.focus.result'],
      [[{ reference: `Observation/${own}` }, { reference: `Observation/${foreign}` }], 'Task.focus.result[1]'],
    ];
    for (const [results, element] of cases) {
      const id = await report(results);
      expect(id).toBeDefined();
      const answer = await a.post(task(patient, id));
      expect([answer.status, answer.body.issue[0].expression]).toEqual([422, [element]]);
    }
  });
});
