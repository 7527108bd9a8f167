import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { STANDING_LIFETIME } from '../../../hub/access/authentication/standing.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { type Client, clientOf, openWorld, type World } from '../security/world.js';

let world: World;
let hub: World['hub'];
let admin: Client;
let auditor: Client;
const as: Record<string, Client> = {};

beforeAll(async () => {
  world = await openWorld();
  hub = world.hub;
  admin = clientOf(hub, await hub.system('commission', 'hub-administrator'));
  auditor = await world.person('auditor');
  for (const name of ['administrator-a', 'administrator-b', 'administrator-c', 'administrator-d', 'physician-c', 'physician-a'])
    as[name] = await world.person(name);
});
afterAll(() => world?.hub.stop());

const PATH = '/access/agreements';
let made = 0;

/** A draft from one hospital to another, as the hub's administrator writes it. */
const draft = (from: string, to: string, more: Record<string, unknown> = {}): FhirResource & { id: string } => ({
  resourceType: 'OrganizationAffiliation',
  id: `${from}-to-${to}-${made}`,
  active: true,
  period: { start: '2026-01-01' },
  organization: { reference: `Organization/${from}` },
  participatingOrganization: { reference: `Organization/${to}` },
  code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
  ...more,
});
const modality = (...codes: string[]) => ({
  extension: [
    {
      url: extensions.sharingScope,
      extension: codes.map((code) => ({ url: 'modality', valueCoding: { system: systems.dicomTerminology, code } })),
    },
  ],
});
async function drafted(from: string, to: string, more: Record<string, unknown> = {}): Promise<FhirResource & { id: string }> {
  made++;
  const resource = draft(from, to, more);
  expect((await admin.put(resource)).status).toBe(201);
  return resource;
}
const state = async (id: string, client = auditor) => (await client.get(`${PATH}/${id}`)).body;
async function sign(name: string, id: string, digest?: string) {
  return as[name]!.post({ digest: digest ?? (await state(id)).digest }, `${PATH}/${id}/signature`);
}
const opens = async () => (await as['physician-c']!.get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status === 200;
const audited = async (id: string): Promise<[string, number][]> => {
  const { rows } = await hub.db.pool.query(
    "select distinct on (request_id, subtype) id, subtype, outcome from audit_event where entity = $1 and type = 'policy' and subtype <> 'agreement-read' order by request_id, subtype",
    [[`OrganizationAffiliation/${id}`]],
  );
  return rows.sort((a, b) => a.id - b.id).map((row) => [row.subtype, row.outcome]);
};

describe('a sharing agreement', () => {
  it('opens nothing until both sides have signed, and ends at once when one takes its signature back', async () => {
    const { id } = await drafted('a', 'c');
    expect(await opens()).toBe(false);
    const first = await sign('administrator-a', id);
    expect(first.body).toMatchObject({ inForce: false, signatories: ['a', 'c'], signatures: [{ organization: 'a' }] });
    expect(await opens()).toBe(false);
    expect((await sign('administrator-c', id)).body).toMatchObject({ inForce: true });
    expect(await opens()).toBe(true);
    const ended = await as['administrator-c']!.delete(`${PATH}/${id}/signature`);
    expect(ended.body.signatures.map((s: { endedBecause: string }) => s.endedBecause)).toEqual(['withdrawn', 'withdrawn']);
    expect(await opens()).toBe(false);
    // the other side's signature went with it: it has to be asked again
    expect((await sign('administrator-c', id)).body.inForce).toBe(false);
    expect(await opens()).toBe(false);
    expect((await sign('administrator-a', id)).body.inForce).toBe(true);
    expect((await as['administrator-a']!.delete(`${PATH}/${id}/signature`)).status).toBe(200);
    expect((await as['administrator-a']!.delete(`${PATH}/${id}/signature`)).status).toBe(409);
    expect(await opens()).toBe(false);
    expect(await audited(id)).toEqual([
      ['agreement-sign', 0],
      ['agreement-sign', 0],
      ['agreement-withdraw', 0],
      ['agreement-sign', 0],
      ['agreement-sign', 0],
      ['agreement-withdraw', 0],
      ['agreement-withdraw', 4],
    ]);
  });

  it.each([
    ['a wider scope', modality('CT', 'MR')],
    ['a narrower scope', modality('MR')],
    ['another period', { period: { start: '2026-01-01', end: '2099' } }],
    ['another recipient', { participatingOrganization: { reference: 'Organization/d' } }],
  ])('with %s is another one: its signatures are void until it is signed again', async (_what, change) => {
    const resource = await drafted('a', 'c', modality('CT'));
    const before = await state(resource.id);
    for (const name of ['administrator-a', 'administrator-c']) await sign(name, resource.id);
    expect(await opens()).toBe(true);
    expect((await admin.put({ ...resource, ...change })).status).toBe(200);
    expect(await opens()).toBe(false);
    const after = await state(resource.id);
    expect(after.signatures.map((s: { endedBecause: string }) => s.endedBecause)).toEqual(['terms-changed', 'terms-changed']);
    expect(after.digest).not.toBe(before.digest);
    // what was read before is not what is signed now
    expect((await sign('administrator-a', resource.id, before.digest)).status).toBe(409);
    // the old terms come back without their signatures
    expect((await admin.put(resource)).status).toBe(200);
    expect((await state(resource.id)).inForce).toBe(false);
    expect(await opens()).toBe(false);
    expect(await audited(resource.id)).toContainEqual(['agreement-void', 0]);
  });

  it('that is written again as it stands keeps its signatures, and closed it is over', async () => {
    const resource = await drafted('a', 'c');
    for (const name of ['administrator-a', 'administrator-c']) await sign(name, resource.id);
    expect((await admin.put({ ...resource, identifier: [{ system: 'urn:x:y', value: '1' }] })).status).toBe(200);
    expect(await opens()).toBe(true);
    expect((await admin.put({ ...resource, active: false })).status).toBe(200);
    expect(await opens()).toBe(false);
    expect((await sign('administrator-a', resource.id)).status).toBe(409);
  });

  it('is signed by nobody but an administrator of a party, in person', async () => {
    const { id } = await drafted('a', 'c');
    const { digest } = await state(id);
    const path = `${PATH}/${id}/signature`;
    const strangers: [string, Client][] = [
      ['an administrator of a third hospital', as['administrator-b']!],
      ['the hub’s administrator', admin],
      ['a physician of the custodian', as['physician-a']!],
      ['an auditor', auditor],
      ['the hospital’s system', world.systems.a],
      ['a system that acts as administrator', clientOf(hub, await hub.system('a', 'hospital-administrator'))],
      ['the patient', await world.person('patient-1')],
    ];
    for (const [who, client] of strangers) {
      expect([who, (await client.post({ digest }, path)).status]).toEqual([who, 403]);
      expect([who, (await client.delete(path)).status]).toEqual([who, 403]);
    }
    expect((await clientOf(hub, undefined).post({ digest }, path)).status).toBe(401);
    for (const [wrong, status] of [
      [{}, 400],
      [{ digest: 'x' }, 400],
      [{ digest, more: 1 }, 400],
      [{ digest: '0'.repeat(64) }, 409],
    ] as const)
      expect((await as['administrator-a']!.post(wrong, path)).status).toBe(status);
    expect((await as['administrator-a']!.post({ digest }, `${PATH}/nothing/signature`)).status).toBe(404);
    expect((await state(id)).signatures).toEqual([]);
    const refusals = (await audited(id)).filter(([, outcome]) => outcome === 4);
    expect(refusals).toHaveLength(2 * strangers.length + 4);
  });

  it('is not signed by one person for both sides', async () => {
    const { id } = await drafted('a', 'c');
    const bind = (organizationId: string) =>
      bindAccount(hub.db, {
        issuer: `${hub.url}/demo-idp`,
        subject: 'turncoat',
        name: 'turncoat',
        roles: ['hospital-administrator'],
        organizationId,
        practitionerId: `turncoat-at-${organizationId}`,
      });
    await hub.enrol({ username: 'turncoat', role: 'hospital-administrator', organizationId: 'a' });
    await bind('a');
    as['turncoat'] = await world.person('turncoat');
    expect((await sign('turncoat', id)).body.signatures).toHaveLength(1);
    await bind('c');
    await new Promise((resolve) => setTimeout(resolve, STANDING_LIFETIME + 100));
    as['turncoat'] = await world.person('turncoat');
    expect((await sign('turncoat', id)).status).toBe(409);
    expect((await state(id)).inForce).toBe(false);
    expect((await sign('administrator-c', id)).body.inForce).toBe(true);
    await as['administrator-c']!.delete(`${PATH}/${id}/signature`);
  });

  it('of a suspended hospital is not signed, by either side', async () => {
    const { id } = await drafted('a', 'b');
    const { digest } = await state(id);
    await hub.db.pool.query("update organization set active = false where id = 'b'");
    // by somebody whose standing was looked up before, and by the side that is not suspended
    expect([403, 409]).toContain((await as['administrator-b']!.post({ digest }, `${PATH}/${id}/signature`)).status);
    expect((await as['administrator-a']!.post({ digest }, `${PATH}/${id}/signature`)).status).toBe(409);
    await hub.db.pool.query("update organization set active = true where id = 'b'");
    expect((await state(id)).signatures).toEqual([]);
  });

  it('is drafted by the hub’s administrator alone: no hospital widens what it receives', async () => {
    const resource = await drafted('a', 'c', modality('MR'));
    for (const client of [as['administrator-c']!, as['administrator-a']!, world.systems.c, as['physician-c']!]) {
      expect((await client.put({ ...resource, ...modality('MR', 'CT') })).status).toBe(403);
      expect((await client.put(draft('a', 'c', { id: 'mine' }))).status).toBe(403);
    }
    expect((await state(resource.id)).terms.scope.modality).toEqual(['MR']);
  });

  it('shows who signed to its parties, the hub’s administrators and auditors, in a form that is verified without the hub', async () => {
    const { id } = await drafted('a', 'c');
    for (const name of ['administrator-a', 'administrator-c']) await sign(name, id);
    const { body } = await as['administrator-c']!.get(`${PATH}/${id}`);
    expect(await state(id, admin)).toEqual(body);
    for (const client of [as['administrator-b']!, as['physician-c']!, world.systems.a])
      expect((await client.get(`${PATH}/${id}`)).status).toBe(403);
    const keys = createLocalJWKSet((await clientOf(hub, undefined).get('/jwks')).body);
    for (const [i, organization] of ['a', 'c'].entries()) {
      const { payload } = await jwtVerify(body.signatures[i].jws, keys, { issuer: hub.url, typ: 'agreement-signature+jwt' });
      expect(payload).toMatchObject({
        organization: `Organization/${organization}`,
        agreement: `OrganizationAffiliation/${id}`,
        version: 1,
        terms: body.terms,
        digest: body.digest,
        sub: body.signatures[i].signer,
        name: `administrator-${organization}`,
        iat: Math.floor(Date.parse(body.signatures[i].signedAt) / 1000),
      });
    }
    // it is no key to the hub
    expect((await clientOf(hub, body.signatures[0].jws).get('/fhir/Organization')).status).toBe(401);
    const question = { resource: `ImagingStudy/${world.studyOfA.id}`, action: 'read' };
    const subject = { organization: 'c', role: 'physician', purpose: 'TREAT' };
    const explained = (await auditor.post({ ...question, subject }, '/access/explain')).body;
    expect(explained).toMatchObject({
      allowed: true,
      basis: 'agreement',
      signatures: ['a', 'c'].map((organization) => ({ agreement: id, organization })),
    });
    const own = (await as['physician-c']!.post(question, '/access/explain')).body;
    expect(own).toMatchObject({ allowed: true, evidence: [{ kind: 'agreement', id }] });
    expect(own.signatures).toBeUndefined();
    await as['administrator-a']!.delete(`${PATH}/${id}/signature`);
  });
});

describe('a membership of a consortium', () => {
  const readsOfA = async () =>
    (await (await world.person('physician-d')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`)).status === 200;
  const membership = {
    resourceType: 'OrganizationAffiliation',
    id: 'union.d',
    active: true,
    organization: { reference: 'Organization/union' },
    participatingOrganization: { reference: 'Organization/d' },
    code: [{ coding: [{ system: systems.affiliationKind, code: 'consortium-membership' }] }],
  };
  const union = {
    resourceType: 'Organization',
    id: 'union',
    active: true,
    name: 'union',
    type: [{ coding: [{ system: systems.organizationKind, code: 'consortium' }] }],
  };

  it('takes effect with the member’s own signature on its terms and on the charter', async () => {
    expect((await admin.put(membership)).status).toBe(201);
    expect(await readsOfA()).toBe(false);
    expect((await sign('administrator-a', 'union.d')).status).toBe(403);
    expect((await sign('administrator-d', 'union.d')).body).toMatchObject({
      inForce: true,
      signatories: ['d'],
      terms: { kind: 'consortium-membership', charter: { modality: null } },
    });
    expect(await readsOfA()).toBe(true);
    expect((await admin.put({ ...union, ...modality('CT') })).status).toBe(200);
    expect(await readsOfA()).toBe(false);
    for (const id of ['a', 'b', 'd']) expect((await state(`union.${id}`)).inForce).toBe(false);
    for (const id of ['a', 'd']) await sign(`administrator-${id}`, `union.${id}`);
    expect(await readsOfA()).toBe(true);
    expect((await admin.put({ ...union, name: 'Union', ...modality('CT') })).status).toBe(200);
    expect(await readsOfA()).toBe(true);
    expect((await as['administrator-d']!.delete(`${PATH}/union.d/signature`)).status).toBe(200);
    expect(await readsOfA()).toBe(false);
  });
});
