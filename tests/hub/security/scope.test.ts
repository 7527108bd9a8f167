import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair } from 'jose';
import { registerClient } from '../../../hub/access/authentication/accounts.js';
import { systemToken } from '../../../hub/demo/sign-in.js';
import { bundleOf, post, samplePatient } from '../../support/fhir-samples.js';
import { assigner, clientOf, openWorld, type Client, type World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.hub.stop());

let systems = 0;

/** A system of hospital A whose registration goes no further than `scope`. */
async function limited(scope: string): Promise<Client> {
  const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
  systems += 1;
  const id = `limited-${systems}`;
  await registerClient(world.hub.db, {
    id,
    organizationId: 'a',
    name: id,
    jwks: { keys: [(await exportJWK(publicKey)) as never] },
    roles: ['hospital-system'],
    scope,
  });
  return clientOf(
    world.hub,
    await systemToken({ baseUrl: world.hub.url, clientId: id, privateJwk: await exportJWK(privateKey), scope }),
  );
}

const refusals = async () => {
  const { rows } = await world.hub.db.pool.query(
    "select count(*)::int as n from audit_event where outcome = 4 and type = 'rest'",
  );
  return rows[0].n as number;
};

describe('a token does no more than its scope', () => {
  it('by an interaction, a batch or a transaction', async () => {
    const reader = await limited('system/Patient.rs');
    const body = samplePatient(assigner('a'), 'S1');
    const before = await refusals();
    expect((await reader.get(`/fhir/Patient/${world.patientOfA.id}`)).status).toBe(200);
    expect((await reader.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status).toBe(403);
    expect((await reader.post(body)).status).toBe(403);
    expect((await reader.post(bundleOf('batch', [post(body)]), '/fhir')).body.entry[0].response.status).toBe('403');
    expect((await reader.post(bundleOf('transaction', [post(body)]), '/fhir')).status).toBe(403);
    const update = { resource: world.patientOfA, request: { method: 'PUT', url: `Patient/${world.patientOfA.id}` } };
    expect((await reader.post(bundleOf('transaction', [update]), '/fhir')).status).toBe(403);
    expect(await refusals()).toBe(before + 5);
  });
  it('includes nothing that it could not read', async () => {
    const reader = await limited('system/ImagingStudy.rs');
    const { body } = await reader.get(`/fhir/ImagingStudy?_id=${world.studyOfA.id}&_include=ImagingStudy:patient`);
    expect(body.entry.map((e: { resource: { resourceType: string } }) => e.resource.resourceType)).toEqual(['ImagingStudy']);
    expect((await reader.post({ resource: `Patient/${world.patientOfA.id}`, action: 'read' }, '/access/explain')).status).toBe(
      403,
    );
  });
  it('looks at nothing that it could not search, on the way of a chain or _has', async () => {
    const reader = await limited('system/ImagingStudy.rs');
    const before = await refusals();
    const asked = [
      'patient.name=x',
      'patient.identifier=A1',
      'patient.organization.name=x',
      'basedon.status=active',
      '_has:Observation:derived-from:status=final',
      '_has:Task:focus:owner.name=x',
    ];
    for (const query of asked) expect([query, (await reader.get(`/fhir/ImagingStudy?${query}`)).status]).toEqual([query, 403]);
    expect(await refusals()).toBe(before + asked.length);
    expect((await reader.get(`/fhir/ImagingStudy?patient=${world.patientOfA.id}&status:not=x`)).status).toBe(200);
  });
  it('includes nothing in reverse that it could not search', async () => {
    const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: world.studyOfA.subject };
    await world.systems.a.post({ ...observation, derivedFrom: [{ reference: `ImagingStudy/${world.studyOfA.id}` }] });
    const asked = `/fhir/ImagingStudy?_id=${world.studyOfA.id}&_revinclude=Observation:derived-from`;
    const found = async (client: Client) => (await client.get(asked)).body.entry.length;
    expect(await found(await limited('system/ImagingStudy.rs'))).toBe(1);
    expect(await found(await limited('system/ImagingStudy.rs system/Observation.r'))).toBe(1);
    expect(await found(await limited('system/ImagingStudy.rs system/Observation.rs'))).toBe(2);
  });
});

describe('a name that every object has', () => {
  it('is no type of resource', async () => {
    const system = world.systems.a;
    for (const name of ['constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
      const answers = [
        await system.get(`/fhir/${name}`),
        await system.get(`/fhir/${name}/1`),
        await system.post({ resourceType: name }),
        await system.post(bundleOf('transaction', [post({ resourceType: name })]), '/fhir'),
      ];
      expect([name, answers.map((a) => a.status)]).toEqual([name, [404, 404, 404, 404]]);
    }
  });
});
