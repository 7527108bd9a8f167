import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { standings } from '../../../hub/access/authentication/standing.js';
import { scorePermission } from '../../../hub/scoring/permission.js';
import { startScoringWorkers } from '../../../hub/scoring/worker.js';
import { SCORES_UNTIL_NOW } from '../../../hub/store/migrations/0045-labels-taken-over.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { sampleStudy } from '../../support/fhir-samples.js';
import { reviewOf, scoringTask } from '../scoring/scored-world.js';
import { type Client, made, openWorld, studyUidOf } from '../security/world.js';

const CONFIDENTIALITY = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const ACT_CODE = 'http://terminology.hl7.org/CodeSystem/v3-ActCode';
const R = { system: CONFIDENTIALITY, code: 'R' };
const PSY = { system: ACT_CODE, code: 'PSY' };
const labels = (...security: object[]) => ({
  resourceType: 'Parameters',
  parameter: [{ name: 'meta', valueMeta: { security } }],
});

let world: Awaited<ReturnType<typeof openWorld>>;
let administrator: Client;
let physician: Client;
let elsewhere: Client;
let patient: Client;

beforeAll(async () => {
  world = await openWorld();
  administrator = await world.person('administrator-a');
  physician = await world.person('physician-a');
  elsewhere = await world.person('physician-b');
  patient = await world.person('patient-1');
});
afterAll(() => world.hub.stop());

/** A study of A's, with a report about it. */
async function studyAndReport() {
  const study = made(await world.systems.a.post(sampleStudy(world.patientOfA.id!)));
  const report = made(
    await world.systems.a.post({
      resourceType: 'DiagnosticReport',
      status: 'final',
      code: { text: 'CT' },
      subject: { reference: `Patient/${world.patientOfA.id}` },
      imagingStudy: [{ reference: `ImagingStudy/${study.id}` }],
    }),
  );
  return { study, report };
}
const change = (who: Client, path: string, operation: 'add' | 'delete', ...security: object[]) =>
  who.post(labels(...security), `/fhir/${path}/$meta-${operation}`);
const reads = async (who: Client, path: string): Promise<number> => (await who.get(`/fhir/${path}`)).status;

describe('a sensitivity label', () => {
  it('set by hand closes a study and what was written about it, from the next request on; taken away it opens them', async () => {
    const { study, report } = await studyAndReport();
    const [s, r] = [`ImagingStudy/${study.id}`, `DiagnosticReport/${report.id}`];
    expect([await reads(elsewhere, s), await reads(elsewhere, r)]).toEqual([200, 200]);
    const answer = await change(physician, s, 'add', R);
    expect(answer.status).toBe(200);
    expect(answer.body.parameter[0].valueMeta.security).toEqual([R]);
    expect([await reads(elsewhere, s), await reads(elsewhere, r)]).toEqual([403, 403]);
    expect([await reads(physician, s), await reads(patient, s)]).toEqual([200, 200]);
    const found = await elsewhere.get(`/fhir/DiagnosticReport?patient=${world.patientOfA.id}&_id=${report.id}`);
    expect(found.body.entry?.filter((e: { search: { mode: string } }) => e.search.mode === 'match') ?? []).toEqual([]);
    expect((await change(physician, s, 'delete', R)).status).toBe(403);
    expect((await change(administrator, s, 'delete', R)).status).toBe(200);
    expect([await reads(elsewhere, s), await reads(elsewhere, r)]).toEqual([200, 200]);
    const entries = await world.hub.db.query(
      sql`select subtype, outcome from audit_event where subtype like 'meta-%' and ${s} = any(entity) order by recorded, id`,
    );
    expect(entries).toEqual([
      { subtype: 'meta-add', outcome: 0 },
      { subtype: 'meta-delete', outcome: 4 },
      { subtype: 'meta-delete', outcome: 0 },
    ]);
  });

  it('stays when the source sends the study again, in every way, and adds up with what the source says', async () => {
    const { study } = await studyAndReport();
    const path = `ImagingStudy/${study.id}`;
    await change(administrator, path, 'add', R);
    const { id: _id, ...again } = study;
    await world.systems.a.post({ ...again, meta: { security: [PSY] } });
    await world.systems.a.put({ ...study, meta: {}, description: 'again' });
    await world.systems.a.put(
      { ...again, meta: {} } as never,
      `/fhir/ImagingStudy?identifier=${encodeURIComponent(`urn:dicom:uid|urn:oid:${studyUidOf(study)}`)}`,
    );
    const shown = await administrator.get(`/fhir/${path}/$meta`);
    expect(shown.body.parameter[0].valueMeta.security).toEqual([R, PSY]);
  });

  it('is on a report that is written after it was set', async () => {
    const study = made(await world.systems.a.post(sampleStudy(world.patientOfA.id!)));
    await change(physician, `ImagingStudy/${study.id}`, 'add', R);
    const report = made(
      await world.systems.a.post({
        resourceType: 'DiagnosticReport',
        status: 'final',
        code: { text: 'CT' },
        subject: { reference: `Patient/${world.patientOfA.id}` },
        imagingStudy: [{ reference: `ImagingStudy/${study.id}` }],
      }),
    );
    expect(await reads(elsewhere, `DiagnosticReport/${report.id}`)).toBe(403);
  });

  it('is opened by a consent of the patient that names it, to whom it says, until she withdraws it', async () => {
    const { study } = await studyAndReport();
    const path = `ImagingStudy/${study.id}`;
    await change(physician, path, 'add', PSY);
    expect(await reads(elsewhere, path)).toBe(403);
    const consent = (code: string) => ({
      resourceType: 'Consent',
      status: 'active',
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
      category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
      patient: { reference: `Patient/${world.patientOfA.id}` },
      dateTime: '2026-01-01',
      policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }],
      provision: {
        type: 'permit',
        securityLabel: [{ system: ACT_CODE, code }],
        actor: [
          {
            role: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType', code: 'IRCP' }] },
            reference: { reference: 'Organization/b' },
          },
        ],
      },
    });
    const other = made(await patient.post(consent('HIV')));
    expect(await reads(elsewhere, path)).toBe(403);
    const given = made(await patient.post(consent('PSY')));
    expect(await reads(elsewhere, path)).toBe(200);
    await patient.put({ ...given, status: 'inactive' });
    expect(await reads(elsewhere, path)).toBe(403);
    await patient.put({ ...other, status: 'inactive' });
  });

  it('is nobody’s to set but the custodian’s own people’s, and a stranger learns nothing by trying', async () => {
    const { study } = await studyAndReport();
    const path = `ImagingStudy/${study.id}`;
    for (const who of [elsewhere, patient, world.systems.a]) expect((await change(who, path, 'add', R)).status).toBe(403);
    const unknown = await change(world.systems.c, 'ImagingStudy/no-such-study', 'add', R);
    const hidden = await change(world.systems.c, path, 'add', R);
    expect([hidden.status, hidden.text]).toEqual([unknown.status, unknown.text]);
    expect(await reads(elsewhere, path)).toBe(200);
  });

  const wrong: [string, unknown, number][] = [
    ['no Parameters', { resourceType: 'Patient' }, 400],
    ['no meta', { resourceType: 'Parameters', parameter: [{ name: 'x' }] }, 400],
    ['a parameter that is nothing', { resourceType: 'Parameters', parameter: [null] }, 400],
    ['no label', labels(), 422],
    ['a label without a system', labels({ code: 'R' }), 422],
    ['a label whose code is no text', labels({ system: CONFIDENTIALITY, code: 1 }), 422],
    ['too many labels', labels(...Array.from({ length: 21 }, (_, i) => ({ system: ACT_CODE, code: `c${i}` }))), 422],
    [
      'a tag',
      { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { security: [R], tag: [{ code: 'x' }] } }] },
      422,
    ],
  ];
  it.each(wrong)('is not read from %s', async (_name, body, status) => {
    const answer = await physician.post(body as object, `/fhir/ImagingStudy/${world.patientOfA.id}/$meta-add`);
    expect(answer.status).toBe(status);
    expect(answer.body.resourceType).toBe('OperationOutcome');
  });
});

describe('a label on what a score was made from', () => {
  const MODEL = 'proteomic-severity';
  let values: string[];
  let laboratory: string;
  let score: string;
  /** The report of the score and its Observation; and the words of a physician, which are records of their own. */
  let told: string[];

  const value = (code: object) => ({
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [code] },
    subject: { reference: `Patient/${world.patientOfA.id}` },
    effectiveDateTime: '2026-03-04T08:00:00+08:00',
    valueQuantity: { value: 6.5, unit: 'NPX', system: 'http://unitsofmeasure.org', code: '{NPX}' },
  });

  beforeAll(async () => {
    const { models, db, audit, fhir } = world.hub.hub;
    values = [];
    for (const code of models.get(MODEL)!.accepts.observations!.codes)
      values.push(`Observation/${made(await world.systems.a.post(value(code))).id}`);
    const report = made(
      await world.systems.a.post({
        resourceType: 'DiagnosticReport',
        status: 'final',
        code: { coding: [{ system: 'http://loinc.org', code: '11502-2' }] },
        subject: { reference: `Patient/${world.patientOfA.id}` },
        result: values.map((reference) => ({ reference })),
      }),
    );
    laboratory = `DiagnosticReport/${report.id}`;
    const task = made(
      await elsewhere.post({
        ...scoringTask(report, world.patientOfB, 'b'),
        focus: { reference: laboratory },
        input: [{ type: { text: 'model' }, valueString: MODEL }],
      }),
    );
    const workers = startScoringWorkers({
      db,
      audit,
      models,
      permission: scorePermission({ db, access: fhir.access, standings: standings(db) }),
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      config: { scoringTimeout: 60, scoringMemory: 4096 },
      retrieve: () => Promise.reject(new Error('no images')),
      count: 1,
      idleSeconds: 0.05,
    });
    let done = (await elsewhere.get(`/fhir/Task/${task.id}`)).body;
    while (!['completed', 'failed'].includes(done.status)) {
      await sleep(50);
      done = (await elsewhere.get(`/fhir/Task/${task.id}`)).body;
    }
    await workers.stop();
    score = done.output[0].valueReference.reference;
    const whole = (await elsewhere.get(`/fhir/${score}`)).body;
    const reviewed = await reviewOf(physician, whole, { decision: 'correct', reason: 'wrong-value', positive: false });
    told = [score, ...[whole, reviewed.body].map((r) => r.result[0].reference as string)];
  }, 60_000);

  /** What the hospital that asked gets of it, on each way to it. */
  const shown = async () => {
    const [id, observation] = [score.split('/')[1], told.at(-1)!.split('/')[1]];
    const found = async (query: string): Promise<string[]> =>
      ((await elsewhere.get(`/fhir/${query}`)).body.entry ?? []).flatMap(
        (e: { search: { mode: string }; resource: { resourceType: string } }) =>
          e.search.mode === 'outcome' ? [] : [e.resource.resourceType],
      );
    return [
      ...(await Promise.all(told.map((path) => reads(elsewhere, path)))),
      await reads(elsewhere, `${score}/_history/1`),
      (await elsewhere.get(`/scoring/reports/${id}/annotations`)).status,
      await found(`DiagnosticReport?_id=${id}`),
      await found(`Observation?_id=${observation}`),
    ];
  };

  const OPEN = [200, 200, 200, 200, 200, ['DiagnosticReport'], ['Observation']];
  const CLOSED = [403, 403, 403, 403, 403, [], []];

  it.each([
    ['one of its values', () => values[7]!],
    ['the laboratory’s report', () => laboratory],
  ])('closes it, with all that was written of it, from the next request on, and taken away opens it: %s', async (_, input) => {
    expect(await shown()).toEqual(OPEN);
    expect((await change(physician, input(), 'add', R)).status).toBe(200);
    expect(await shown()).toEqual(CLOSED);
    for (const path of told) expect([await reads(physician, path), await reads(patient, path)]).toEqual([200, 200]);
    // its own label is another thing, and goes alone
    await change(physician, score, 'add', R);
    expect((await change(administrator, score, 'delete', R)).status).toBe(200);
    expect(await shown()).toEqual(CLOSED);
    expect((await change(administrator, input(), 'delete', R)).status).toBe(200);
    expect(await shown()).toEqual(OPEN);
  });

  it('closes it too when the source sends a value again with a label', async () => {
    const current = (await physician.get(`/fhir/${values[3]}`)).body;
    expect((await world.systems.a.put({ ...current, meta: { security: [PSY] } })).status).toBe(200);
    expect(await shown()).toEqual(CLOSED);
    expect((await change(administrator, values[3]!, 'delete', PSY)).status).toBe(200);
    expect(await shown()).toEqual(OPEN);
  });

  it('is known of scores from before labels were taken over', async () => {
    const { db } = world.hub;
    const laboratorys = () =>
      db.query(sql`
        select l.* from label_source l where of_type <> 'ImagingStudy' and (type <> 'Provenance' or id in (select provenance_id from score_record))
        order by type, id, of_type, of_id`);
    const before = await laboratorys();
    await db.query(sql`delete from label_source where of_type <> 'ImagingStudy'`);
    await db.query(raw(SCORES_UNTIL_NOW));
    expect(before.length).toBeGreaterThan(60);
    expect(await laboratorys()).toEqual(before);
  });

  it('closes it when the study that the laboratory’s report is about is labelled', async () => {
    const { study } = await studyAndReport();
    const current = (await physician.get(`/fhir/${laboratory}`)).body;
    expect((await world.systems.a.put({ ...current, imagingStudy: [{ reference: `ImagingStudy/${study.id}` }] })).status).toBe(
      200,
    );
    await change(physician, `ImagingStudy/${study.id}`, 'add', R);
    expect(await shown()).toEqual(CLOSED);
  });
});
