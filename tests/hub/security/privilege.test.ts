import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { bundleOf, post, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { assigner, businessStatus, type Client, kindOfTask, made, openWorld, organization, series, type World } from './world.js';

let world: World;
const people: Record<string, Client> = {};

beforeAll(async () => {
  world = await openWorld();
  for (const name of [
    'physician-a',
    'physician-b',
    'physician-c',
    'physician-d',
    'administrator-a',
    'administrator-b',
    'patient-1',
    'patient-2',
  ])
    people[name] = await world.person(name);
});
afterAll(() => world.hub.stop());

/** Refused as such, as not existing, or for references to what the caller may not know of. */
const REFUSED = [403, 404, 422];
const as = (name: string): Client => people[name]!;
const ref = (resource: FhirResource) => ({ reference: `${resource.resourceType}/${resource.id}` });
const observation = (of: FhirResource, more: object = {}): FhirResource => ({
  resourceType: 'Observation',
  status: 'final',
  code: { text: 'finding' },
  subject: ref(of),
  ...more,
});
const aiMark = { tag: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }] };
const restricted = { security: [{ system: systems.confidentiality, code: 'R' }] };

describe('records that the hub alone writes', () => {
  it('are not written by anybody else, in no way', async () => {
    for (const resourceType of ['Provenance', 'AuditEvent', 'Device']) {
      for (const client of [world.systems.a, as('physician-a'), as('administrator-a')]) {
        const answers = [
          await client.post({ resourceType }),
          await client.put({ resourceType, id: '1' }),
          await client.post(bundleOf('transaction', [post({ resourceType })]), '/fhir'),
        ];
        expect([resourceType, answers.map((a) => a.status)]).toEqual([resourceType, [405, 405, 405]]);
      }
    }
  });
  it('nor is the mark of what a model made put on, at first or later', async () => {
    const own = world.systems.a;
    expect((await own.post(observation(world.otherOfA, { meta: aiMark }))).status).toBe(422);
    const { body } = await own.post(observation(world.otherOfA));
    expect((await own.put({ ...body, meta: aiMark })).status).toBe(422);
  });
});

describe("another hospital's records", () => {
  it('are not changed by one that may read them, nor is whose they are', async () => {
    const { studyOfA, patientOfA, patientOfB, otherOfA } = world;
    expect((await world.systems.b.get(`/fhir/ImagingStudy/${studyOfA.id}`)).status).toBe(200);
    for (const resource of [studyOfA, patientOfA]) expect((await world.systems.b.put(resource)).status).toBe(403);
    for (const subject of [patientOfB, otherOfA]) {
      const answer = await world.systems.a.put({ ...studyOfA, subject: ref(subject) });
      expect([answer.status, answer.body.issue[0].diagnostics]).toEqual([422, 'The patient of a study does not change.']);
    }
    const { body } = await world.systems.a.post(observation(patientOfA));
    expect((await world.systems.a.put({ ...body, subject: ref(otherOfA) })).status).toBe(422);
    expect((await world.systems.b.post(sampleStudy(patientOfA.id))).status).toBe(422);
    expect((await world.systems.b.post(observation(patientOfA))).status).toBe(403);
  });
  it('are not made by naming another custodian, version or time', async () => {
    const forged = sampleStudy(world.otherOfA.id, {
      meta: { versionId: '9', lastUpdated: '2001-01-01T00:00:00Z' },
      extension: [{ url: extensions.custodian, valueReference: organization('b') }],
    });
    const { body } = await world.systems.a.post(forged);
    expect(body.meta.versionId).toBe('1');
    expect(body.meta.lastUpdated.slice(0, 4)).not.toBe('2001');
    const custodians = body.extension.filter((e: { url: string }) => e.url === extensions.custodian);
    expect(custodians).toEqual([{ url: extensions.custodian, valueReference: organization('a') }]);
  });
  it('are not referred to by the address of the hub, or from inside', async () => {
    const base = `${world.hub.url}/fhir`;
    const own = world.systems.c;
    const answers = [
      await own.post(observation(world.patientOfC, { subject: { reference: `${base}/Patient/${world.otherOfA.id}` } })),
      await own.post(
        observation(world.patientOfC, { derivedFrom: [{ reference: `${base}/ImagingStudy/${world.studyOfA.id}` }] }),
      ),
      await own.post(
        observation(world.patientOfC, { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p' }] }),
      ),
    ];
    expect(answers.map((a) => a.status)).toEqual([422, 422, 422]);
    const mine = await own.post(
      observation(world.patientOfC, { subject: { reference: `${base}/Patient/${world.patientOfC.id}` } }),
    );
    expect(mine.body.subject).toEqual(ref(world.patientOfC));
  });
});

describe('a record about a restricted study', () => {
  it('is as restricted as the study, and stays so', async () => {
    const study = await world.study('a', world.patientOfA, { meta: restricted });
    const own = world.systems.a;
    const { body } = await own.post(observation(world.patientOfA, { derivedFrom: [ref(study)] }));
    const readsOf = async (resource: FhirResource) =>
      (await as('physician-b').get(`/fhir/${resource.resourceType}/${resource.id}`)).status;
    expect([await readsOf(study), await readsOf(body)]).toEqual([403, 403]);
    const changed = await own.put({ ...body, status: 'amended' });
    expect([changed.status, await readsOf(body)]).toEqual([200, 403]);
    const plain = await own.post(observation(world.patientOfA));
    expect(await readsOf(plain.body)).toBe(200);
    await own.put({ ...plain.body, derivedFrom: [ref(study)] });
    expect(await readsOf(plain.body)).toBe(403);
  });
});

describe('a release', () => {
  const request = (more: object = {}): FhirResource => ({
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    code: kindOfTask('release-request'),
    focus: ref(world.studyOfA),
    for: ref(world.patientOfD),
    requester: organization('d'),
    ...more,
  });
  const move = (client: Client, task: FhirResource, to: string, more: object = {}) =>
    client.put({ ...task, businessStatus: businessStatus(to), ...more });

  it('is granted by a person of the custodian and by nobody else, step by step', async () => {
    const knowing = as('physician-d');
    expect((await knowing.post(request({ status: 'accepted', businessStatus: businessStatus('accepted') }))).status).toBe(409);
    expect((await knowing.post(request({ requester: organization('a') }))).status).toBe(403);
    expect((await as('physician-c').post(request({ requester: organization('c') }))).status).toBe(422);
    const task = made(await knowing.post(request()));
    for (const to of ['accepted', 'completed', 'scheduled'])
      expect([to, (await move(knowing, task, to)).status]).toEqual([to, 409]);
    expect((await move(world.systems.d, task, 'accepted')).status).toBe(409);
    expect((await move(world.systems.a, task, 'accepted')).status).toBe(403);
    for (const outsider of ['physician-b', 'administrator-b', 'physician-c', 'patient-1'])
      expect([outsider, REFUSED.includes((await move(as(outsider), task, 'accepted')).status)]).toEqual([outsider, true]);
    const stretched = { restriction: { period: { end: '2027-11-01' } } };
    const widened = { focus: ref(world.otherStudyOfA) };
    for (const more of [stretched, widened, { requester: organization('b') }, { for: ref(world.otherOfA) }])
      expect((await move(as('physician-a'), task, 'accepted', more)).status).toBe(422);
    expect((await knowing.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(403);
    const accepted = await move(as('physician-a'), task, 'accepted', { meta: restricted });
    expect([accepted.status, accepted.body.meta.security]).toEqual([200, undefined]);
    expect((await knowing.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(200);
  });
});

describe('an opinion within a consultation', () => {
  it('is about the attached studies, in the name of those who were asked', async () => {
    const { otherOfA, otherStudyOfA } = world;
    const second = await world.study('a', otherOfA);
    const question = made(
      await as('physician-a').post({
        resourceType: 'ServiceRequest',
        status: 'active',
        intent: 'order',
        subject: ref(otherOfA),
        requester: organization('a'),
        performer: [organization('c')],
        code: { text: 'second opinion' },
      }),
    );
    const task = made(
      await as('physician-a').post({
        resourceType: 'Task',
        status: 'requested',
        intent: 'order',
        code: kindOfTask('consultation-request'),
        focus: ref(question),
        for: ref(otherOfA),
        requester: organization('a'),
        owner: organization('c'),
        input: [{ type: { text: 'study' }, valueReference: ref(otherStudyOfA) }],
      }),
    );
    const expert = as('physician-c');
    const opinion = (more: object): FhirResource => ({
      resourceType: 'DiagnosticReport',
      status: 'final',
      code: { text: 'opinion' },
      subject: ref(otherOfA),
      imagingStudy: [ref(otherStudyOfA)],
      ...more,
    });
    expect((await expert.post(opinion({}))).status).toBe(422);
    const accepted = await expert.put({ ...task, businessStatus: businessStatus('accepted') });
    expect(accepted.status).toBe(200);
    expect((await expert.post(opinion({ imagingStudy: [ref(second)] }))).status).toBe(422);
    expect((await expert.post(opinion({ performer: [organization('d')] }))).status).toBe(422);
    const report = made(await expert.post(opinion({ performer: [organization('c')] })));
    expect((await expert.put({ ...report, performer: [organization('d')] })).status).toBe(422);
    expect((await as('physician-d').get(`/fhir/DiagnosticReport/${report.id}`)).status).toBe(404);
    expect((await as('physician-a').get(`/fhir/DiagnosticReport/${report.id}`)).status).toBe(200);
  });
});

describe('consents', () => {
  const consent = (of: FhirResource): FhirResource => ({
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
    patient: ref(of),
    dateTime: '2026-01-01',
    policyRule: { coding: [{ system: systems.actCode, code: 'OPTOUT' }] },
  });
  it('are a patient’s for herself, and a hospital’s for its own', async () => {
    const { patientOfA, otherOfA } = world;
    expect((await as('patient-2').post(consent(patientOfA))).status).toBe(422);
    expect((await as('physician-a').post(consent(patientOfA))).status).toBe(403);
    expect((await world.systems.b.post(consent(patientOfA))).status).toBe(422);
    const own = made(await as('patient-2').post(consent(otherOfA)));
    // the hospital whose Patient she is neither: she gave it herself
    for (const client of [as('patient-1'), world.systems.b, world.systems.a])
      expect(REFUSED).toContain((await client.put({ ...own, status: 'inactive' })).status);
    expect((await as('patient-2').get(`/fhir/Consent/${own.id}`)).body.status).toBe('active');
    expect((await as('patient-2').put({ ...own, patient: ref(patientOfA) })).status).toBe(422);
    expect((await as('patient-2').put({ ...own, status: 'inactive' })).status).toBe(200);
  });
});

describe('offices', () => {
  it('are for those who hold them', async () => {
    const others = [as('physician-a'), as('patient-1'), world.systems.a];
    for (const client of others) {
      for (const path of ['/quarantine', '/identity/links', '/reports', '/reports/exchange-volume'])
        expect([path, (await client.get(path)).status]).toEqual([path, 403]);
      expect((await client.put({ resourceType: 'Organization', id: 'a', name: 'x' })).status).toBe(403);
      const other = {
        resource: `ImagingStudy/${world.otherStudyOfA.id}`,
        action: 'read',
        subject: { organization: 'b', role: 'physician', purpose: 'TREAT' },
      };
      // a patient may ask about others, and knows of her own records only
      expect((await client.post(other, '/access/explain')).status).toBe(client === as('patient-1') ? 404 : 403);
    }
    for (const client of [as('physician-a'), world.systems.a]) expect((await client.get('/fhir/AuditEvent')).status).toBe(403);
    const headers = { 'x-organization': 'b', 'x-purpose-of-use': 'BTG', 'x-forwarded-for': '10.0.0.1' };
    expect((await as('physician-c').get(`/fhir/ImagingStudy/${world.studyOfA.id}`, headers)).status).toBe(404);
    await expect(world.hub.person('physician-a', 'HOPERAT')).rejects.toThrow();
    await expect(world.hub.system('a', 'hospital-system', 'HRESCH')).rejects.toThrow();
    expect((await world.systems.a.post(samplePatient(assigner('a'), 'X1', { meta: { source: 'x' } }))).status).toBe(201);
  });
});

describe('series of a study', () => {
  it('that do not say what they are keep it outside of a limited agreement', async () => {
    await world.hub.db.pool.query(
      "insert into sharing_agreement (id, custodian_id, recipient_id, modality) values ('ct-only', 'a', 'c', '{CT}')",
    );
    const silent = await world.study('a', world.otherOfA, {
      series: [series(), series({ modality: { system: systems.dicomTerminology, code: 'MR' } })],
    });
    const status = async (of: FhirResource) => (await as('physician-c').get(`/fhir/ImagingStudy/${of.id}`)).status;
    expect([await status(world.studyOfA), await status(silent)]).toEqual([200, 404]);
    await world.hub.db.pool.query("delete from sharing_agreement where id = 'ct-only'");
    expect(await status(world.studyOfA)).toBe(404);
  });
});
