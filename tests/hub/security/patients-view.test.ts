import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AuditEvent } from '@medplum/fhirtypes';
import { validateResource } from '../../../fhir-profiles/index.js';
import { systems } from '../../../fhir-profiles/codes.js';
import { bundleOf } from '../../support/fhir-samples.js';
import { type Client, clientOf, made, NATIONAL, openWorld, studyUidOf, type World } from './world.js';

let world: World;
let herself: Client;
beforeAll(async () => {
  world = await openWorld();
  herself = await world.person('patient-1');
});
afterAll(() => world.hub.stop());

const study = () => `/fhir/ImagingStudy/${world.studyOfA.id}`;
const events = async (query = ''): Promise<AuditEvent[]> => {
  const { body } = await herself.get(`/fhir/AuditEvent?_count=200${query}`);
  return (body.entry ?? []).map((e: { resource: AuditEvent }) => e.resource);
};
const userOf = (event: AuditEvent) => event.agent?.find((a) => a.requestor);
const textOf = (event: AuditEvent): string => event.text?.div ?? '';

describe('the patient sees who looked, or tried to', () => {
  it('at another hospital: with purpose, basis and custodian, in words', async () => {
    await (await world.person('physician-b')).get(study());
    const [event] = await events('&agent=Practitioner/physician-b&subtype=disclose');
    expect(userOf(event!)?.purposeOfUse?.[0]?.coding?.[0]?.code).toBe('TREAT');
    expect(textOf(event!)).toContain('physician-b (physician, b) read an imaging study for treatment. Allowed: ');
    expect(textOf(event!)).toContain(
      'for treatment. Allowed: the hospitals are one consortium and the patient is registered there.',
    );
    expect(textOf(event!)).toContain('用于诊疗');
  });

  it('and was refused: by her consent, as a stranger who was told nothing, in a search, in a batch, for the images', async () => {
    const consent = made(
      await herself.post({
        resourceType: 'Consent',
        status: 'active',
        scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
        category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
        patient: { reference: `Patient/${world.patientOfA.id}` },
        dateTime: '2026-01-01',
        policyRule: { coding: [{ system: systems.actCode, code: 'OPTOUT' }] },
      }),
    );
    const near = await world.person('physician-b');
    const stranger = await world.person('physician-c');
    await near.get(study());
    await near.get(`/fhir/ImagingStudy?patient=${world.patientOfB.id}`);
    await near.get(`/dicomweb/studies/${studyUidOf(world.studyOfA)}`);
    await near.post(
      bundleOf('batch', [{ request: { method: 'GET', url: `ImagingStudy/${world.studyOfA.id}/_history` } }]),
      '/fhir',
    );
    await stranger.get(study());
    const stopped = await events('&agent=Practitioner/physician-b&subtype=AuthZ-Consent');
    const operations = stopped.map(
      (e) => e.entity?.flatMap((x) => x.detail ?? []).find((d) => d.type === 'operation')?.valueString,
    );
    expect(operations.sort()).toEqual(['history-instance', 'read', 'retrieve', 'search-type']);
    for (const event of stopped) {
      expect(event.entity?.some((e) => e.what?.reference === `Consent/${consent.id}`)).toBe(true);
      expect(textOf(event)).toContain('the patient’s consent does not allow it');
    }
    const [tried] = await events('&agent=Practitioner/physician-c&outcome=4');
    expect(textOf(tried!)).toContain('physician-c (physician, c) tried to read');
    await herself.put({ ...consent, status: 'inactive' });
  });

  it('in an emergency', async () => {
    const physician = await world.person('physician-c');
    const patient = { identifier: { system: systems.nationalIdentifier, value: NATIONAL } };
    const begun = await physician.post(
      { patient, reason: 'unconscious', statement: 'Brought in unconscious.' },
      '/access/break-glass',
    );
    expect(begun.status).toBe(201);
    expect((await clientOf(world.hub, begun.body.token.access_token).get(study())).status).toBe(200);
    const seen = (await events('&agent=Practitioner/physician-c')).filter(
      (e) => e.purposeOfEvent?.[0]?.coding?.[0]?.code === 'BTG',
    );
    expect(seen.map((e) => e.subtype?.some((c) => c.code === 'read'))).toContain(true);
    expect(seen.map((e) => e.subtype?.some((c) => c.code?.startsWith('break-glass')))).toContain(true);
    for (const event of seen) expect(textOf(event)).toContain('in an emergency, without leave given before (break-glass)');
  });

  it('at her record elsewhere too, and at nobody else’s', async () => {
    await (await world.person('physician-d')).get(`/fhir/Patient/${world.patientOfD.id}`);
    await (await world.person('physician-a')).get(`/fhir/ImagingStudy/${world.otherStudyOfA.id}`);
    const seen = await events();
    const patients = new Set(
      seen.flatMap((e) => (e.entity ?? []).filter((x) => x.role?.code === '1').map((x) => x.what?.reference)),
    );
    const hers = [world.patientOfA, world.patientOfB, world.patientOfD].map((p) => `Patient/${p.id}`);
    expect([...patients].filter((p) => !hers.includes(p ?? ''))).toEqual([]);
    expect(patients).toContain(`Patient/${world.patientOfD.id}`);
    expect(JSON.stringify(seen)).not.toContain(world.otherStudyOfA.id);
  });

  it('also who read this audit: the auditor, and she herself', async () => {
    await (await world.person('auditor')).get(`/fhir/AuditEvent?patient=${world.patientOfA.id}`);
    const entity = await events('&entity=AuditEvent&subtype=search-type');
    const agents = new Set(entity.map((e) => userOf(e)?.who?.identifier?.value?.split('/')[0]));
    expect([...agents].sort()).toEqual(['Account', 'Patient']);
  });

  it('without what a search asked besides, and in valid FHIR whatever names hold', async () => {
    await (await world.person('physician-a')).get(`/fhir/ImagingStudy?patient=${world.patientOfA.id},${world.otherOfA.id}`);
    await world.hub.db.pool.query("update organization set name = 'b <script>&\"' where id = 'b'");
    const seen = await events();
    expect(JSON.stringify(seen)).not.toContain(world.otherOfA.id);
    for (const event of seen) {
      for (const { query } of event.entity ?? [])
        expect(Buffer.from(query ?? '', 'base64').toString()).not.toContain(world.otherOfA.id);
      expect(validateResource(event)).toEqual([]);
    }
    expect(seen.some((e) => textOf(e).includes('b &lt;script&gt;&amp;'))).toBe(true);
  });
});
