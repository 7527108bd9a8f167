import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { type Client, clientOf, NATIONAL, openWorld, type World } from './world.js';

let world: World;
let officer: Client;
let colleague: Client;
beforeAll(async () => {
  world = await openWorld();
  await world.hub.enrol({ username: 'officer-2', role: 'commission-officer', organizationId: 'commission' });
  officer = await world.person('officer');
  colleague = await world.person('officer-2');
});
afterAll(() => world.hub.stop());

const asked = (more: object = {}) => ({
  patient: { identifier: { system: systems.nationalIdentifier, value: NATIONAL } },
  caseNumber: '云卫〔2026〕14号',
  ground: 'complaint',
  statement: 'A complaint about a repeated examination.',
  ...more,
});
const open = async (more: object = {}) => (await officer.post(asked(more), '/access/oversight-cases')).body;
const step = (by: Client, id: string, name: string) => by.post({}, `/access/exceptional/${id}/${name}`);
const under = async (by: Client, id: string) => clientOf(world.hub, (await step(by, id, 'token')).body.access_token);

describe('a named case of the health commission', () => {
  it('opens one patient once another officer has confirmed it, and ends at once', async () => {
    expect((await officer.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
    const { id, state } = await open();
    expect(state).toBe('pending');
    expect((await step(officer, id, 'token')).status).toBe(404);
    expect((await step(officer, id, 'confirm')).status).toBe(403);
    for (const name of ['physician-a', 'administrator-a', 'auditor'])
      expect([name, (await step(await world.person(name), id, 'confirm')).status]).toEqual([name, 403]);
    const confirmed = await step(colleague, id, 'confirm');
    expect(confirmed.body).toMatchObject({ state: 'open', caseNumber: '云卫〔2026〕14号' });
    expect((await step(colleague, id, 'confirm')).status).toBe(409);
    const reader = await under(officer, id);
    expect((await reader.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(200);
    expect((await reader.get('/fhir/ImagingStudy')).body.entry.map((e: { resource: { id: string } }) => e.resource.id)).toEqual([
      world.studyOfA.id,
    ]);
    expect((await reader.get(`/fhir/ImagingStudy/${world.otherStudyOfA.id}`)).status).toBe(404);
    expect((await reader.put(world.studyOfA)).status).toBe(403);
    expect((await officer.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
    expect((await step(colleague, id, 'token')).status).toBe(404);
    expect((await step(colleague, id, 'end')).status).toBe(200);
    expect((await reader.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(401);
  });

  it('is seen by the patient from the start, and its custodians are told with the case number', async () => {
    const { id } = await open({ caseNumber: 'YH-2' });
    await step(colleague, id, 'confirm');
    await (await under(officer, id)).get(`/fhir/Patient/${world.patientOfD.id}`);
    const patient = await world.person('patient-1');
    const seen = (await patient.get('/access/exceptional')).body.items;
    expect(seen.find((s: { id: string }) => s.id === id)).toMatchObject({ kind: 'oversight', caseNumber: 'YH-2', state: 'open' });
    const audit = (await patient.get('/fhir/AuditEvent?_count=100')).text;
    expect(audit.match(/case YH-2/g)?.length).toBeGreaterThan(2);
    const { rows } = await world.hub.db.pool.query(
      "select organization_id, payload->>'caseNumber' as number from outbox where topic = 'oversight.opened' and payload->>'access' = $1 order by 1",
      [id],
    );
    expect(rows.map((r) => [r.organization_id, r.number])).toEqual(['a', 'b', 'commission', 'd'].map((o) => [o, 'YH-2']));
    const administrator = (await (await world.person('administrator-a')).get('/access/exceptional')).body.items;
    expect(administrator.find((s: { id: string }) => s.id === id).patients).toHaveLength(1);
  });

  it('is answered for alike whether or not there is such a patient, needs a number and a ground, and is the commission’s alone', async () => {
    const none = await open({ patient: { reference: 'Patient/nobody' } });
    const one = await open();
    expect(Object.keys(none)).toEqual(Object.keys(one));
    expect([none.patients, one.patients]).toEqual([[], []]);
    const bad: [object, string][] = [
      [asked({ caseNumber: undefined }), 'caseNumber'],
      [asked({ caseNumber: '  ' }), 'caseNumber'],
      [asked({ ground: 'curiosity' }), 'ground'],
    ];
    for (const [body, element] of bad) {
      const answer = await officer.post(body, '/access/oversight-cases');
      expect([answer.status, answer.body.issue[0].expression]).toEqual([400, [element]]);
    }
    for (const name of ['physician-a', 'administrator-a', 'auditor', 'patient-1'])
      expect([name, (await (await world.person(name)).post(asked(), '/access/oversight-cases')).status]).toEqual([name, 403]);
    expect((await (await world.person('physician-a')).get('/access/exceptional')).body.items).toEqual([]);
    expect((await step(await world.person('physician-a'), one.id, 'end')).status).toBe(404);
  });

  it('lapses when nobody confirms it, and can be withdrawn', async () => {
    const { id } = await open();
    await world.hub.db.pool.query('update exceptional_access set valid_until = now() where id = $1', [id]);
    expect((await step(colleague, id, 'confirm')).status).toBe(409);
    const other = await open();
    expect((await step(officer, other.id, 'end')).body.state).toBe('over');
    expect((await step(colleague, other.id, 'confirm')).status).toBe(409);
  });
});
