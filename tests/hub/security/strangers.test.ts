import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bundleOf, newUid, post, samplePatient } from '../../support/fhir-samples.js';
import { assigner, type Client, openWorld, studyUidOf, type World } from './world.js';

let world: World;
let stranger: Client;
let strangersSystem: Client;
let strangersAdministrator: Client;
let patient: Client;

beforeAll(async () => {
  world = await openWorld();
  [stranger, strangersAdministrator, patient] = (await Promise.all(
    ['physician-c', 'administrator-c', 'patient-2'].map((name) => world.person(name)),
  )) as [Client, Client, Client];
  strangersSystem = world.systems.c;
});
afterAll(() => world.hub.stop());

const NOBODY = '0190aaaa-0000-7000-8000-000000000000';

describe('to a stranger a record that he may not know of is one that does not exist', () => {
  const pairs = (): [string, string][] => {
    const { studyOfA, patientOfA } = world;
    const uid = studyUidOf(studyOfA);
    return [
      [`/fhir/ImagingStudy/${studyOfA.id}`, `/fhir/ImagingStudy/${NOBODY}`],
      [`/fhir/ImagingStudy/${studyOfA.id}/_history`, `/fhir/ImagingStudy/${NOBODY}/_history`],
      [`/fhir/ImagingStudy/${studyOfA.id}/_history/1`, `/fhir/ImagingStudy/${NOBODY}/_history/1`],
      [`/fhir/ImagingStudy/${studyOfA.id}/_history/9`, `/fhir/ImagingStudy/${NOBODY}/_history/9`],
      [`/fhir/Patient/${patientOfA.id}`, `/fhir/Patient/${NOBODY}`],
      [`/fhir/ImagingStudy?_id=${studyOfA.id}&_total=accurate`, `/fhir/ImagingStudy?_id=${NOBODY}&_total=accurate`],
      [`/fhir/ImagingStudy?_id=${studyOfA.id}&_summary=count`, `/fhir/ImagingStudy?_id=${NOBODY}&_summary=count`],
      [`/fhir/ImagingStudy?patient=${patientOfA.id}`, `/fhir/ImagingStudy?patient=${NOBODY}`],
      [`/fhir/ImagingStudy?identifier=urn:oid:${uid}`, `/fhir/ImagingStudy?identifier=urn:oid:2.25.1`],
      [`/fhir/Patient?identifier=${assigner('a')}|A1`, `/fhir/Patient?identifier=${assigner('a')}|A9`],
      [`/fhir/Provenance?target=ImagingStudy/${studyOfA.id}`, `/fhir/Provenance?target=ImagingStudy/${NOBODY}`],
      [`/dicomweb/studies?StudyInstanceUID=${uid}`, '/dicomweb/studies?StudyInstanceUID=2.25.1'],
      [`/dicomweb/studies?PatientID=A1`, '/dicomweb/studies?PatientID=A9'],
      [`/dicomweb/series?SeriesInstanceUID=${studyOfA.series[0].uid}`, '/dicomweb/series?SeriesInstanceUID=2.25.1'],
      [`/dicomweb/instances?SOPInstanceUID=${studyOfA.series[0].instance[0].uid}`, '/dicomweb/instances?SOPInstanceUID=2.25.1'],
      [`/dicomweb/studies/${uid}/series`, '/dicomweb/studies/2.25.1/series'],
      [`/dicomweb/studies/${uid}/instances?limit=0`, '/dicomweb/studies/2.25.1/instances?limit=0'],
      [`/dicomweb/studies/${uid}`, '/dicomweb/studies/2.25.1'],
      [`/dicomweb/studies/${uid}/metadata`, '/dicomweb/studies/2.25.1/metadata'],
      [`/dicomweb/studies/${uid}?custodian=a`, '/dicomweb/studies/2.25.1?custodian=a'],
      [`/dicomweb/studies/${uid}/series/${studyOfA.series[0].uid}`, '/dicomweb/studies/2.25.1/series/2.25.2'],
      [
        `/dicomweb/studies/${uid}/series/${studyOfA.series[0].uid}/instances/${studyOfA.series[0].instance[0].uid}/frames/1`,
        '/dicomweb/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/1',
      ],
    ];
  };
  /** The two answers, with what was typed taken out of the self link. */
  const plain = (text: string, path: string): string =>
    text
      .replaceAll(encodeURIComponent(path.split('=')[1]?.split('&')[0] ?? ''), '*')
      .replaceAll(path.split('=')[1]?.split('&')[0] ?? '*', '*');

  it('whichever way he asks', async () => {
    for (const client of [stranger, strangersSystem, strangersAdministrator, patient]) {
      for (const [there, nowhere] of pairs()) {
        const [one, other] = [await client.get(there), await client.get(nowhere)];
        expect({
          there,
          status: one.status,
          text: plain(one.text, there),
          etag: one.headers.etag,
          warning: one.headers.warning,
        }).toEqual({
          there,
          status: other.status,
          text: plain(other.text, nowhere),
          etag: other.headers.etag,
          warning: other.headers.warning,
        });
      }
    }
  });

  it('also where he writes, or refers to it', async () => {
    const own = { reference: `Patient/${world.patientOfC.id}` };
    const about = (id: string) => ({
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      subject: { reference: `Patient/${id}` },
    });
    const derived = (id: string) => ({
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      subject: own,
      derivedFrom: [{ reference: `ImagingStudy/${id}` }],
    });
    for (const body of [about, derived]) {
      const id = body === about ? world.patientOfA.id : world.studyOfA.id;
      const [one, other] = [await strangersSystem.post(body(id)), await strangersSystem.post(body(NOBODY))];
      expect([one.status, one.text]).toEqual([422, other.text]);
    }
    const put = (id: string) => strangersSystem.put({ ...about(world.patientOfC.id), id } as never);
    const { id: observation } = (await world.systems.a.post(about(world.otherOfA.id))).body;
    const [one, other] = [await put(observation), await put(NOBODY)];
    expect([one.status, one.text]).toEqual([404, other.text]);
    for (const path of [`ImagingStudy/${world.studyOfA.id}`, `ImagingStudy/${NOBODY}`]) {
      const answer = await stranger.post({ resource: path, action: 'read' }, '/access/explain');
      expect([answer.status, answer.body.issue[0].diagnostics]).toEqual([404, 'No such resource.']);
    }
  });

  it('also through an entry of a transaction that takes the id of the record for its own', async () => {
    const claimed = (id: string, request: object) => ({ resource: { ...samplePatient(assigner('c'), 'C1'), id }, request });
    const referring = (id: string) =>
      post({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${id}` } });
    const criteria = `identifier=${encodeURIComponent(`${assigner('c')}|C1`)}`;
    for (const request of [
      { method: 'POST', url: 'Patient', ifNoneExist: criteria },
      { method: 'PUT', url: `Patient?identifier=${encodeURIComponent(`${assigner('c')}|${newUid()}`)}` },
    ]) {
      const [one, other] = [
        await strangersSystem.post(
          bundleOf('transaction', [claimed(world.patientOfA.id, request), referring(world.patientOfA.id)]),
          '/fhir',
        ),
        await strangersSystem.post(bundleOf('transaction', [claimed(NOBODY, request), referring(NOBODY)]), '/fhir'),
      ];
      expect([one.status, one.text]).toEqual([422, other.text]);
    }
  });

  it('also in the audit that the administrator of his hospital reads', async () => {
    await stranger.get(`/fhir/ImagingStudy/${world.otherStudyOfA.id}`);
    await stranger.get(`/dicomweb/studies/${studyUidOf(world.otherStudyOfA)}`);
    await stranger.put({ ...world.otherStudyOfA, id: world.otherStudyOfA.id });
    const seen = await strangersAdministrator.get('/fhir/AuditEvent?outcome=4&_count=100');
    expect(seen.text).toContain(world.otherStudyOfA.id);
    expect(seen.text).not.toContain(world.otherOfA.id);
    expect(seen.text).not.toContain('Organization/a');
    expect((await strangersAdministrator.get(`/fhir/AuditEvent?patient=${world.otherOfA.id}`)).body.entry).toBeUndefined();
    const ofCustodian = await (await world.person('administrator-a')).get(
      `/fhir/AuditEvent?patient=${world.otherOfA.id}&outcome=4`,
    );
    const subtypes = ofCustodian.body.entry.map(
      (e: { resource: { subtype: { code: string }[] } }) => e.resource.subtype[0]?.code,
    );
    expect(subtypes).toEqual(expect.arrayContaining(['read', 'retrieve', 'update']));
  });
});

describe('a patient', () => {
  it('does not learn in her audit whom else she was compared with', async () => {
    const alike = await world.patient('c', 'C7', { name: [{ text: '韩梅梅' }], gender: 'female', birthDate: '1981-03-04' });
    const steward = await world.person('steward-a');
    expect((await steward.get('/identity/links')).text).toContain(alike.id);
    const seen = await patient.get('/fhir/AuditEvent?type=identity');
    expect(seen.body.entry).toHaveLength(1);
    expect(seen.text).not.toContain(alike.id);
  });
});

describe('a hospital that may know of a study, and not read it', () => {
  const withheld = async (client: Client, query: string): Promise<string[]> => {
    const { body } = await client.get(`/fhir/ImagingStudy?patient=${world.patientOfD.id}${query}`);
    return (body.entry ?? []).flatMap(
      (e: { resource: { issue?: { expression: string[] }[] } }) => e.resource.issue?.flatMap((i) => i.expression) ?? [],
    );
  };
  it('learns nothing of its content by searching for it', async () => {
    const knowing = await world.person('physician-d');
    const all = await withheld(knowing, '');
    expect(all).toEqual([`ImagingStudy/${world.studyOfA.id}`]);
    for (const query of [
      '&modality=CT',
      '&modality=MR',
      '&started=lt2020-01-01',
      '&started=ge2026-05-06',
      '&status=available',
      '&identifier=2.25.1',
      '&_lastUpdated=lt2020-01-01',
    ])
      expect([query, await withheld(knowing, query)]).toEqual([query, all]);
    expect(await withheld(knowing, `&_id=${NOBODY}`)).toEqual([]);
  });
  it('learns nothing of its content from a record of its own that is derived from it', async () => {
    const body = {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      subject: { reference: `Patient/${world.patientOfD.id}` },
    };
    const refused = await world.systems.d.post({ ...body, derivedFrom: [{ reference: `ImagingStudy/${world.studyOfA.id}` }] });
    expect(refused.status).toBe(403);
    const own = await world.systems.d.post(body);
    const changed = await world.systems.d.put({ ...own.body, derivedFrom: [{ reference: `ImagingStudy/${world.studyOfA.id}` }] });
    expect(changed.status).toBe(403);
  });
  it('leaves a trace that the patient and the custodian find', async () => {
    await withheld(await world.person('physician-d'), '');
    for (const name of ['patient-1', 'administrator-a']) {
      const { body } = await (await world.person(name)).get(
        '/fhir/AuditEvent?outcome=4&subtype=search-type&agent=Practitioner/physician-d',
      );
      expect(body.entry?.length).toBeGreaterThan(0);
    }
  });
});
