import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from '../../../hub/store/sql.js';
import { sampleStudy } from '../../support/fhir-samples.js';
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
