import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import { validateResource } from '../../../fhir-profiles/index.js';
import { withdrawResults } from '../../../hub/ingest/follow/withdraw-results.js';
import { findResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { type Client, openWorld, type World } from '../security/world.js';
import { chestStudy, finding, firstImage, reviewOf, scoredFor, scoringTask } from './scored-world.js';

type Stored = FhirResource & { id: string };
let world: World;
/** Physicians of the custodian, of a hospital that asks and may see the study, and of two that may not. */
let a: Client;
let second: Client;
let b: Client;
let study: Stored;
let report: Stored;

beforeAll(async () => {
  world = await openWorld();
  await world.hub.enrol({ username: 'second-a', role: 'physician', organizationId: 'a' });
  [a, second, b] = await Promise.all([world.person('physician-a'), world.person('second-a'), world.person('physician-b')]);
});
afterAll(() => world?.hub.stop());
const LEFT_LUNG = { system: systems.snomed, code: '44029006', display: 'Left lung structure' };

async function scored(more: object = {}): Promise<void> {
  study = await chestStudy(world, world.patientOfA, more);
  ({ report } = await scoredFor(world, b, scoringTask(study, world.patientOfA, 'b'), {
    findings: [
      finding(study, { site: LEFT_LUNG, evidence: { probability: 0.98 } }),
      finding(study, { score: 0.7, diameterMm: 5, box: { x: 60, y: 60, width: 6, height: 6 } }),
    ],
  }));
}

const read = async (path: string, client = a): Promise<Stored> => {
  const answer = await client.get(`/fhir/${path}`);
  expect([path, answer.status]).toEqual([path, 200]);
  return answer.body;
};
const observationsOf = (of: FhirResource, client = a): Promise<Stored[]> =>
  Promise.all(of.result.map((r: { reference: string }) => read(r.reference, client)));
const provenancesOf = async (of: FhirResource): Promise<FhirResource[]> =>
  ((await read(`Provenance?target=DiagnosticReport/${of.id}`)).entry ?? [])
    .map((e: { resource: FhirResource }) => e.resource)
    .sort((x: FhirResource, y: FhirResource) => x.recorded.localeCompare(y.recorded));
const tags = (of: FhirResource): string[] => (of.meta?.tag ?? []).map((t) => t.code ?? '').sort();
const trail = async (id: string): Promise<object[]> =>
  world.hub.db.query(sql`
    select subtype, outcome, agent, organization_id, rule from audit_event
    where ${`DiagnosticReport/${id}`} = any(entity) and subtype like 'review-%' order by id`);
const component = (of: FhirResource, code: string) =>
  of.component?.find((c: { code: { coding: { code: string }[] } }) => c.code.coding[0]?.code === code);

describe('a machine’s report that a physician', () => {
  beforeEach(() => scored());

  it('accepts is final, with its findings; what the machine said stays under its own version, and the chain leads to it', async () => {
    const answer = await reviewOf(a, report, { decision: 'accept', text: 'Both are old granulomas.' });
    expect([answer.status, answer.headers['etag']]).toEqual([200, 'W/"2"']);
    const accepted = answer.body;
    expect(accepted).toMatchObject({
      status: 'final',
      result: report.result,
      resultsInterpreter: [{ reference: 'Practitioner/physician-a' }],
    });
    expect(accepted.conclusion).toMatch(/^Accepted by [\s\S]*old granulomas[\s\S]*Limits of use/);
    expect(accepted.conclusion).not.toContain('no physician has checked');
    expect(tags(accepted)).toEqual(['AIAST', 'CLINAST']);
    for (const observation of await observationsOf(accepted))
      expect([observation.status, tags(observation)]).toEqual(['final', ['AIAST', 'CLINAST']]);
    expect(await read(`DiagnosticReport/${report.id}/_history/1`)).toEqual(report);
    const [machines, physicians] = await provenancesOf(report);
    expect(machines!.target.map((t: { reference: string }) => t.reference)).toContain(`DiagnosticReport/${report.id}`);
    expect(physicians).toMatchObject({
      agent: [{ who: { reference: 'Practitioner/physician-a' }, onBehalfOf: { reference: 'Organization/a' } }],
      entity: [{ role: 'revision', what: { reference: `DiagnosticReport/${report.id}/_history/1` } }],
    });
    expect(physicians!.target[0]).toEqual({ reference: `DiagnosticReport/${report.id}/_history/2` });
    for (const resource of [accepted, physicians!, ...(await observationsOf(accepted))])
      expect(validateResource(resource).filter((i) => i.severity === 'error')).toEqual([]);
    expect(await trail(report.id)).toEqual([
      { subtype: 'review-accept', outcome: 0, agent: 'Practitioner/physician-a', organization_id: 'a', rule: 'own-verified' },
    ]);
    // the hospital that asked reads the same
    expect((await read(`DiagnosticReport/${report.id}`, b)).status).toBe('final');
  });

  it('corrects holds his findings, derived from the machine’s; what changed with them is not told any more', async () => {
    const [whole, first, other] = await observationsOf(report);
    const answer = await reviewOf(b, report, {
      decision: 'correct',
      reason: 'wrong-place',
      text: 'One is a vessel, one was missed.',
      positive: true,
      findings: [
        { change: 'remove', observation: `Observation/${other!.id}` },
        {
          change: 'change',
          observation: `Observation/${first!.id}`,
          diameterMm: 9,
          box: { sopInstanceUid: firstImage(study), x: 11, y: 21, width: 9, height: 9 },
        },
        {
          change: 'add',
          diameterMm: 4,
          box: { sopInstanceUid: firstImage(study), x: 90, y: 90, width: 4, height: 4 },
          text: 'subpleural',
        },
      ],
      values: [{ code: 'nodule-candidate-count', value: 2 }],
    });
    expect([answer.status, answer.body.status]).toEqual([200, 'corrected']);
    expect(answer.body.conclusion).toMatch(/^Corrected by [\s\S]*1 removed, 1 added, 1 changed[\s\S]*version 1/);
    expect(answer.body.conclusion).not.toContain('0.90');
    const [newWhole, changed, added, ...rest] = await observationsOf(answer.body);
    expect(rest).toEqual([]);
    expect(newWhole).toMatchObject({
      status: 'final',
      valueQuantity: { value: 2 },
      performer: [{ reference: 'Practitioner/physician-b' }],
    });
    // the largest diameter and the highest score were over other findings
    expect(
      newWhole!.component.map((c: FhirResource) => [c.code.coding[0].code, c.valueQuantity, c.dataAbsentReason?.coding[0].code]),
    ).toEqual([
      ['nodule-highest-score', undefined, 'unknown'],
      ['nodule-largest-diameter', undefined, 'unknown'],
    ]);
    expect(newWhole!.derivedFrom).toContainEqual({ reference: `Observation/${whole!.id}` });
    expect(changed!.derivedFrom).toEqual([{ reference: `ImagingStudy/${study.id}` }, { reference: `Observation/${first!.id}` }]);
    expect(component(changed!, 'box').valueString).toBe('11 21 9 9');
    expect(component(changed!, 'diameter').valueQuantity.value).toBe(9);
    for (const stale of ['volume', 'slices', 'centre-x', 'nodule-patch-probability']) {
      expect(component(first!, stale)).toBeDefined();
      expect(component(changed!, stale)).toBeUndefined();
    }
    // where it was moved to, nobody has said which lung that is
    expect([first!.bodySite.coding, changed!.bodySite]).toEqual([[LEFT_LUNG], whole!.bodySite]);
    expect(changed!.valueQuantity).toBeUndefined();
    expect(added).toMatchObject({ derivedFrom: [{ reference: `ImagingStudy/${study.id}` }], note: [{ text: 'subpleural' }] });
    for (const observation of [newWhole!, changed!, added!]) {
      expect([observation.status, tags(observation)]).toEqual(['final', ['CLINAST']]);
      expect(validateResource(observation).filter((i) => i.severity === 'error')).toEqual([]);
    }
    for (const { id } of [whole!, first!, other!]) {
      expect((await read(`Observation/${id}`)).status).toBe('entered-in-error');
      expect((await read(`Observation/${id}/_history/1`)).status).toBe('preliminary');
    }
    const rows = await world.hub.db.query(sql`
      select decision, reason, reviewer, organization_id, positive, findings_removed, findings_added, findings_changed, values_changed
      from scoring_review where report_id = ${report.id}`);
    expect(rows).toEqual([
      {
        decision: 'correct',
        reason: 'wrong-place',
        reviewer: 'Practitioner/physician-b',
        organization_id: 'b',
        positive: true,
        findings_removed: 1,
        findings_added: 1,
        findings_changed: 1,
        values_changed: 1,
      },
    ]);
    const [, provenance] = await provenancesOf(report);
    expect(provenance!.agent.map((g: FhirResource) => g.type.coding[0].code)).toEqual(['verifier', 'author']);
  });

  it('rejects is withdrawn, and says so first; another physician may still take it as it was', async () => {
    const answer = await reviewOf(a, report, { decision: 'reject', reason: 'image-quality' });
    expect([answer.status, answer.body.status]).toEqual([200, 'entered-in-error']);
    expect(answer.body.conclusion).toMatch(/^REJECTED, not to be used/);
    expect(answer.body.conclusion).not.toContain('threshold');
    for (const observation of await observationsOf(answer.body)) expect(observation.status).toBe('entered-in-error');
    const drawn = await a.get(`/scoring/reports/${report.id}/annotations`);
    expect([drawn.status, drawn.body]).toEqual([200, expect.objectContaining({ status: 'entered-in-error', findings: [] })]);
    expect((await reviewOf(second, answer.body, { decision: 'reject', reason: 'other', text: 'so do I' })).status).toBe(409);
    const again = await reviewOf(second, answer.body, { decision: 'accept' });
    expect(again.body).toMatchObject({ status: 'final', resultsInterpreter: [{ reference: 'Practitioner/second-a' }] });
    expect(again.body.conclusion).toMatch(/^Accepted by [\s\S]*the threshold is reached/);
    for (const observation of await observationsOf(again.body)) expect(observation.status).toBe('final');
    expect((await read(`DiagnosticReport/${report.id}/_history/2`)).status).toBe('entered-in-error');
  });

  it('has looked at is looked at again by a second one, who stands beside him', async () => {
    const first = await reviewOf(a, report, { decision: 'accept' });
    const again = await reviewOf(second, first.body, { decision: 'accept' });
    expect(again.body.resultsInterpreter.map((r: { reference: string }) => r.reference)).toEqual([
      'Practitioner/physician-a',
      'Practitioner/second-a',
    ]);
    const findings = again.body.result
      .slice(1)
      .map(({ reference }: { reference: string }) => ({ change: 'remove', observation: reference }));
    const corrected = await reviewOf(a, again.body, { decision: 'correct', reason: 'false-positive', positive: false, findings });
    expect(corrected.body).toMatchObject({
      status: 'corrected',
      resultsInterpreter: [{ reference: 'Practitioner/physician-a' }],
    });
    const [whole] = await observationsOf(corrected.body);
    expect(whole!.interpretation[0].coding[0].code).toBe('NEG');
  });
});

describe('a machine’s report that was withdrawn, because its study is another patient’s', () => {
  beforeEach(() => scored());

  it('is not taken back by a review, and is neither drawn nor given as a document', async () => {
    const row = (await findResource(world.hub.db, 'ImagingStudy', study.id))!;
    await world.hub.db.transaction((tx) => withdrawResults(tx, row));
    const withdrawn = await read(`DiagnosticReport/${report.id}`);
    expect(withdrawn.status).toBe('entered-in-error');
    const forms = ['annotations', 'structured-report'].map((form) => a.get(`/scoring/reports/${report.id}/${form}`));
    const answers = [await reviewOf(a, withdrawn, { decision: 'accept' }), ...(await Promise.all(forms))];
    expect(answers.map(({ status }) => status)).toEqual([409, 409, 409]);
    expect(await read(`DiagnosticReport/${report.id}`)).toEqual(withdrawn);
  });
});

describe('of reviews at the same time', () => {
  beforeEach(() => scored());

  it('one wins, and the others are told that the report is another one by now', async () => {
    const answers = await Promise.all(
      [a, second, b, a, second].map((client, i) =>
        reviewOf(client, report, i % 2 === 0 ? { decision: 'accept' } : { decision: 'reject', reason: 'false-positive' }),
      ),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 412, 412, 412, 412]);
    const won = answers.find((answer) => answer.status === 200)!.body;
    expect((await read(`DiagnosticReport/${report.id}`)).status).toBe(won.status);
    expect((await read(`DiagnosticReport/${report.id}`)).meta?.versionId).toBe('2');
    expect((await trail(report.id)).map((e) => (e as { outcome: number }).outcome).sort()).toEqual([0, 4, 4, 4, 4]);
  });
});

describe('nobody but a physician who sees the study decides', () => {
  beforeEach(() => scored());

  it('not a system, an administrator, a researcher, a physician elsewhere, nor a record written over the report', async () => {
    const [administrator, researcher, c, d, patient] = await Promise.all([
      world.person('administrator-a'),
      world.person('physician-a', 'HRESCH'),
      world.person('physician-c'),
      world.person('physician-d'),
      world.person('patient-1'),
    ]);
    const statuses = async (...clients: Client[]) =>
      Promise.all(clients.map(async (client) => (await reviewOf(client, report, { decision: 'accept' })).status));
    expect(await statuses(world.systems.a, world.systems.b, administrator, patient)).toEqual([403, 403, 403, 403]);
    expect(await statuses(researcher, d)).toEqual([404, 403]);
    // a stranger can't tell it from one that does not exist
    const hidden = await reviewOf(c, report, { decision: 'accept' });
    const absent = await reviewOf(c, { ...report, id: '019a0000-0000-7000-8000-000000000000' }, { decision: 'accept' });
    expect([hidden.status, hidden.text]).toEqual([404, absent.text]);
    for (const client of [world.systems.a, a]) expect((await client.put({ ...report, status: 'final' })).status).toBe(403);
    expect(await read(`DiagnosticReport/${report.id}`)).toEqual(report);
    const refused = (await trail(report.id)) as { outcome: number; agent: string }[];
    expect(refused).toHaveLength(7);
    expect(refused.every((entry) => entry.outcome === 4)).toBe(true);
  });

  it('not on a report that no machine made', async () => {
    const own = (
      await world.systems.a.post({
        resourceType: 'DiagnosticReport',
        status: 'final',
        code: { text: 'x' },
        subject: { reference: `Patient/${world.patientOfA.id}` },
      })
    ).body;
    expect((await reviewOf(a, own, { decision: 'accept' })).status).toBe(404);
  });

  it('who asked for a score and lost sight of the study decides no more', async () => {
    const label = {
      resourceType: 'Parameters',
      parameter: [{ name: 'meta', valueMeta: { security: [{ system: systems.confidentiality, code: 'R' }] } }],
    };
    expect((await a.post(label, `/fhir/ImagingStudy/${study.id}/$meta-add`)).status).toBe(200);
    expect((await reviewOf(b, report, { decision: 'accept' })).status).toBe(403);
    expect((await reviewOf(a, report, { decision: 'accept' })).status).toBe(200);
  });
});

describe('a review that can’t be taken as it stands', () => {
  beforeAll(() => scored());

  it.each([
    ['without a decision', {}, 400],
    ['with an unknown element', { decision: 'accept', status: 'final' }, 400],
    ['that accepts and changes', { decision: 'accept', values: [{ code: 'nodule-candidate-count', value: 1 }] }, 400],
    ['that rejects without a reason', { decision: 'reject' }, 400],
    ['for another reason without words', { decision: 'reject', reason: 'other' }, 400],
    ['that corrects without saying of the whole', { decision: 'correct', reason: 'wrong-value' }, 400],
    ['that is negative and leaves findings', { decision: 'correct', reason: 'false-positive', positive: false }, 422, 'positive'],
    ...(
      [
        ['nodule-candidate-count', -5],
        ['nodule-candidate-count', 1.5],
        ['nodule-candidate-count', 3],
        ['nodule-highest-score', 7.5],
        ['nodule-largest-diameter', 501],
      ] as const
    ).map(([code, value]): [string, object, number, string] => [
      `with a ${code} of ${value}`,
      { decision: 'correct', reason: 'wrong-value', positive: true, values: [{ code, value }] },
      422,
      'values[0].value',
    ]),
    [
      'with a value beyond all',
      { decision: 'correct', reason: 'wrong-value', positive: true, values: [{ code: 'nodule-largest-diameter', value: 1e308 }] },
      400,
    ],
    [
      'with a finding of another report',
      {
        decision: 'correct',
        reason: 'false-positive',
        positive: false,
        findings: [{ change: 'remove', observation: 'Observation/x' }],
      },
      422,
    ],
    [
      'with an image of another study',
      {
        decision: 'correct',
        reason: 'missed-finding',
        positive: true,
        findings: [{ change: 'add', box: { sopInstanceUid: '1.2.3', x: 1, y: 1, width: 1, height: 1 } }],
      },
      422,
    ],
    [
      'with a box of no size',
      {
        decision: 'correct',
        reason: 'missed-finding',
        positive: true,
        findings: [{ change: 'add', box: { sopInstanceUid: '1.2.3', x: 1, y: 1, width: 0, height: 1 } }],
      },
      400,
    ],
    [
      'with a value that the report has not',
      { decision: 'correct', reason: 'wrong-value', positive: true, values: [{ code: 'grade', value: 2 }] },
      422,
    ],
    [
      'with a code where a number is',
      { decision: 'correct', reason: 'wrong-value', positive: true, values: [{ code: 'nodule-candidate-count', value: 'many' }] },
      422,
    ],
    ['with control characters', { decision: 'reject', reason: 'other', text: 'x\u0000y' }, 400],
  ] as [string, object, number, string?][])('%s changes nothing', async (_, body, status, ...[element]) => {
    const answer = await reviewOf(a, report, body);
    expect([answer.status, answer.body.resourceType]).toEqual([status, 'OperationOutcome']);
    if (element) expect(answer.body.issue[0].expression).toEqual([element]);
    expect(await read(`DiagnosticReport/${report.id}`)).toEqual(report);
  });

  it('that names no version is not taken: nobody decides on what he has not seen', async () => {
    const path = `/scoring/reports/${report.id}/review`;
    expect((await a.post({ decision: 'accept' }, path)).status).toBe(400);
    expect((await a.post({ decision: 'accept' }, path, { 'if-match': '*' })).status).toBe(400);
    expect((await a.post({ decision: 'accept' }, path, { 'if-match': 'W/"7"' })).status).toBe(412);
  });
});

describe('a newer score of the same study', () => {
  beforeEach(() => scored());

  const supersededBy = (of: FhirResource): string | undefined =>
    of.extension?.find((e: { url: string }) => e.url === extensions.supersededBy)?.valueReference.reference;
  const rescored = async (version: string) =>
    (await scoredFor(world, b, scoringTask(study, world.patientOfA, 'b'), { version })).report;

  it('takes the place of one that nobody has looked at: both are read, the older says which is current, and is not decided on any more', async () => {
    const newer = await rescored('1.1.0');
    const older = await read(`DiagnosticReport/${report.id}`);
    expect([older.status, supersededBy(older)]).toEqual(['preliminary', `DiagnosticReport/${newer.id}`]);
    expect(older.conclusion).toMatch(/^Superseded/);
    for (const observation of await observationsOf(older)) {
      expect([observation.status, supersededBy(observation)]).toEqual(['preliminary', `DiagnosticReport/${newer.id}`]);
      expect(observation.note[0].text).toMatch(/^Superseded/);
      expect(validateResource(observation).filter((i) => i.severity === 'error')).toEqual([]);
    }
    for (const observation of await observationsOf(newer)) expect(supersededBy(observation)).toBeUndefined();
    expect(await read(`DiagnosticReport/${report.id}/_history/1`)).toEqual(report);
    expect(supersededBy(newer)).toBeUndefined();
    const [provenance] = await provenancesOf(newer);
    expect(provenance!.entity).toContainEqual({ role: 'revision', what: { reference: `DiagnosticReport/${report.id}` } });
    expect((await reviewOf(a, older, { decision: 'accept' })).status).toBe(409);
  });

  it('does not take the place of a physician’s word until a physician has looked at it too', async () => {
    const { body: accepted } = await reviewOf(a, report, { decision: 'accept' });
    const newer = await rescored('1.1.0');
    expect(await read(`DiagnosticReport/${report.id}`)).toEqual(accepted);
    const rejected = await reviewOf(second, newer, { decision: 'reject', reason: 'false-positive' });
    expect(supersededBy(await read(`DiagnosticReport/${report.id}`))).toBeUndefined();
    await reviewOf(second, rejected.body, { decision: 'accept' });
    expect(supersededBy(await read(`DiagnosticReport/${report.id}`))).toBe(`DiagnosticReport/${newer.id}`);
    expect((await read(`DiagnosticReport/${report.id}`)).status).toBe('final');
  });

  it('has in the course of a score the place that it has: none before a physician’s word; a count is drawn as one, without another value’s threshold', async () => {
    const started = '2027-03-04T05:06:07+08:00';
    await scored({ started });
    const course = async (format = 'json') =>
      a.get(`/scoring/course?patient=${world.patientOfA.id}&model=pulmonary-nodule&format=${format}`);
    const point = async () =>
      (await course()).body.points.filter(({ effective }: { effective: string }) => effective === started);
    expect(await point()).toMatchObject([{ observation: report.result[0].reference, value: 2, status: 'preliminary' }]);
    const newer = await rescored('1.1.0');
    expect(await point()).toMatchObject([{ observation: newer.result[0].reference, value: 0 }]);
    const { body: accepted } = await reviewOf(a, newer, { decision: 'accept' });
    const newest = (
      await scoredFor(world, b, scoringTask(study, world.patientOfA, 'b'), {
        findings: Array(12).fill(finding(study)),
        version: '1.2.0',
      })
    ).report;
    expect(await point()).toMatchObject([{ observation: accepted.result[0].reference, value: 0, status: 'final' }]);
    await reviewOf(a, newest, { decision: 'accept' });
    expect(await point()).toMatchObject([{ observation: newest.result[0].reference, value: 12, status: 'final' }]);
    expect((await point())[0].threshold).toBeUndefined();
    const url = `${world.hub.url}/scoring/course?patient=${world.patientOfA.id}&model=pulmonary-nodule&format=svg`;
    const token = await world.hub.person('physician-a', 'TREAT');
    const picture = await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).text();
    const heights = [...picture.matchAll(/<circle cx="[\d.]+" cy="(-?[\d.]+)"/g)].map(([, y]) => Number(y));
    expect(heights.length).toBeGreaterThan(1);
    for (const y of heights) expect(y >= 36 && y <= 232).toBe(true);
    expect(picture).not.toContain('阈值');
  });
});
