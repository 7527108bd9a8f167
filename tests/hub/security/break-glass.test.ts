import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { type Client, clientOf, NATIONAL, openWorld, type World } from './world.js';

let world: World;
let physician: Client;
beforeAll(async () => {
  world = await openWorld();
  physician = await world.person('physician-c');
});
afterAll(() => world.hub.stop());

const request = (patient: object, more: object = {}) => ({
  patient,
  reason: 'unconscious',
  statement: 'Brought in unconscious after a fall.',
  ...more,
});
const break_ = async (by: Client, patient: object) => {
  const answer = await by.post(request(patient), '/access/break-glass');
  return { answer, session: answer.body?.id as string, under: clientOf(world.hub, answer.body?.token?.access_token) };
};
const nationalNumber = { identifier: { system: systems.nationalIdentifier, value: NATIONAL } };

describe('a stranger who is brought in unconscious', () => {
  it('is opened to the physician who breaks the glass, with all her hospitals hold of her, and nobody else is', async () => {
    expect((await physician.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
    const { answer, under } = await break_(physician, nationalNumber);
    expect(answer.status).toBe(201);
    expect((await under.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).body.id).toBe(world.studyOfA.id);
    expect((await under.get(`/fhir/Patient/${world.patientOfD.id}`)).status).toBe(200);
    expect((await under.get(`/fhir/ImagingStudy/${world.otherStudyOfA.id}`)).status).toBe(404);
    const all = await under.get('/fhir/ImagingStudy');
    expect(all.body.entry.map((e: { resource: { id: string } }) => e.resource.id)).toEqual([world.studyOfA.id]);
    expect((await physician.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(404);
  });
});
