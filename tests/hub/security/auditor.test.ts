import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bundleOf, post, samplePatient } from '../../support/fhir-samples.js';
import { assigner, type Client, NAME, openWorld, studyUidOf, type World } from './world.js';

let world: World;
let auditor: Client;
const CLINICAL = [
  'Patient',
  'ImagingStudy',
  'DiagnosticReport',
  'Observation',
  'ServiceRequest',
  'Task',
  'Consent',
  'Provenance',
];

beforeAll(async () => {
  world = await openWorld();
  const subject = { reference: `Patient/${world.patientOfA.id}` };
  await world.systems.a.post({ resourceType: 'Observation', status: 'final', code: { text: 'finding-of-a' }, subject });
  await world.systems.a.post({ resourceType: 'DiagnosticReport', status: 'final', code: { text: 'report-of-a' }, subject });
  auditor = await world.person('auditor');
});
afterAll(() => world.hub.stop());

describe('an auditor', () => {
  it('reads the audit, and no clinical resource by any path', async () => {
    const { patientOfA, studyOfA } = world;
    const uid = studyUidOf(studyOfA);
    expect((await auditor.get(`/fhir/AuditEvent?patient=${patientOfA.id}`)).body.entry.length).toBeGreaterThan(0);
    const { rows } = await world.hub.db.pool.query('select type, id from resource where type = any($1)', [CLINICAL]);
    expect(new Set(rows.map((r) => r.type)).size).toBeGreaterThan(3);
    for (const { type, id } of rows) {
      const answers = await Promise.all(
        [`${type}/${id}`, `${type}/${id}/_history`, `${type}/${id}/_history/1`].map((path) => auditor.get(`/fhir/${path}`)),
      );
      expect([type, answers.map((a) => a.status)]).toEqual([type, [404, 404, 404]]);
    }
    const searches = [
      ...CLINICAL.flatMap((type) => [type, `${type}?_summary=count&_total=accurate`, `${type}?_count=1`]),
      `Patient?_id=${patientOfA.id}`,
      `Patient?identifier=${assigner('a')}|A1`,
      `Patient?_revinclude=ImagingStudy:patient`,
      `Patient?_has:ImagingStudy:patient:_id=${studyOfA.id}`,
      `ImagingStudy?patient=${patientOfA.id}&_include=ImagingStudy:patient`,
      `ImagingStudy?patient.identifier=${assigner('a')}|A1`,
    ];
    for (const path of searches) {
      const { status, body } = await auditor.get(`/fhir/${path}`);
      const shown = (body.entry ?? []).filter((e: { search?: { mode: string } }) => e.search?.mode !== 'outcome');
      expect([path, status < 500, shown, body.total ?? 0]).toEqual([path, true, [], 0]);
    }
    const batch = bundleOf('batch', [
      { request: { method: 'GET', url: `Patient/${patientOfA.id}` } },
      { request: { method: 'GET', url: 'ImagingStudy' } },
      post(samplePatient(assigner('a'), 'X9')),
    ]);
    expect((await auditor.post(batch, '/fhir')).text).not.toContain(NAME);
    expect((await auditor.post(samplePatient(assigner('a'), 'X9'))).status).toBe(403);
    for (const path of ['', '/metadata', '/series/1.2.3/metadata'])
      expect((await auditor.get(`/dicomweb/studies/${uid}${path}`)).status).toBe(404);
    for (const path of ['/reports', '/reports/deidentified-studies', '/quarantine', '/identity/links'])
      expect([path, (await auditor.get(path)).status]).toEqual([path, 403]);
  });

  it('is told nothing of a record’s content by what he may read', async () => {
    const paths = [
      `/fhir/AuditEvent?patient=${world.patientOfA.id}&_count=200`,
      `/access/exceptional?_count=200`,
      '/fhir/Organization',
    ];
    const texts = await Promise.all(paths.map(async (path) => (await auditor.get(path)).text));
    const explained = await auditor.post({ resource: `ImagingStudy/${world.studyOfA.id}`, action: 'read' }, '/access/explain');
    expect(explained.body.allowed).toBe(false);
    for (const text of [...texts, explained.text])
      for (const content of [NAME, 'secret-description', 'finding-of-a', 'report-of-a']) expect(text).not.toContain(content);
  });
});
