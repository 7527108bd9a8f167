import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import type { Access } from '../../../hub/access/access.js';
import type { RowWithEvidence } from '../../../hub/access/decision.js';
import { findRow } from '../../../hub/access/find-row.js';
import { createResources } from '../../../hub/store/resources.js';
import { refreshRegistrations } from '../../../hub/access/policy/registrations.js';
import { sql } from '../../../hub/store/sql.js';
import { ACTIONS, type Caller } from '../../../hub/access/caller.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

let database: TestDatabase;
let access: PolicyAccess;
const failures: unknown[] = [];
const physician: Caller = {
  id: 'Practitioner/d',
  kind: 'person',
  name: 'd',
  organizationId: 'a',
  role: 'physician',
  purposeOfUse: 'TREAT',
  practitionerId: 'd',
  clientId: 'c',
  scope: '',
  authenticatedAt: 0,
};

beforeAll(async () => {
  database = await testDatabase();
  access = await createAccess({ consentRequiredFor: ['HRESCH'] }, { onFailure: (error) => failures.push(error) });
  for (const id of ['a', 'b'])
    await database.db.query(sql`insert into organization (id, kind, name) values (${id}, 'hospital', ${id})`);
  await createResources(database.db, [{ resource: { resourceType: 'Patient', id: 'p' }, custodianId: 'a' }]);
  await createResources(database.db, [
    { resource: { resourceType: 'ImagingStudy', id: 's', subject: { reference: 'Patient/p' } }, custodianId: 'a' },
    { resource: { resourceType: 'ImagingStudy', id: 'other', subject: { reference: 'Patient/q' } }, custodianId: 'b' },
  ]);
  await refreshRegistrations(database.db, ['p']);
});
afterAll(async () => {
  await database.close();
});

const ownStudy = async (by: Caller = physician): Promise<RowWithEvidence> => {
  const request = await access.forCaller(database.db, by);
  return (await findRow(database.db, request, 'ImagingStudy', 's'))!;
};

async function readable(by: Caller, with_: Access = access): Promise<string[]> {
  const request = await with_.forCaller(database.db, by);
  const rows = await database.db.query<{ id: string }>(
    sql`select r.id from resource r where ${request.filter('read')} order by r.id`,
  );
  return rows.map((row) => row.id);
}

describe('a decision', () => {
  it('allows the owner, and names the rule and what it rests on', async () => {
    const request = await access.forCaller(database.db, physician);
    expect(request.decide('read', await ownStudy())).toMatchObject({
      allowed: true,
      mayKnow: true,
      rule: 'own-care',
      basis: 'own',
      evidence: [{ kind: 'organization', id: 'a' }],
    });
    expect(await readable(physician)).toEqual(['p', 's']);
  });

  it.each([
    ['no evidence', { evidence: undefined }],
    ['evidence that is null', { evidence: null }],
    ['evidence that is no JSON', { evidence: '{' }],
    ['evidence without consents', { evidence: { registered: null, now: 0 } }],
    ['evidence without the registration', { evidence: { consents: [], now: 0 } }],
    ['evidence whose registration is a word', { evidence: { registered: 'yes', consents: [], now: 0 } }],
    ['no parties', { parties: undefined }],
    ['no labels', { labels: null }],
    ['no modalities', { modality: undefined }],
  ])('denies a row with %s, and says so to the operator', async (_name, damage) => {
    const request = await access.forCaller(database.db, physician);
    const before = failures.length;
    const row = { ...(await ownStudy()), ...damage } as RowWithEvidence;
    for (const action of ACTIONS) expect(request.decide(action, row)).toMatchObject({ allowed: false, mayKnow: false });
    expect(failures.length).toBeGreaterThan(before);
  });

  it.each([
    ['an unknown role', { role: 'superuser' }],
    ['the name of a group as role', { role: 'clinician' }],
    ['no role', { role: '' }],
    ['an unknown purpose', { purposeOfUse: 'MARKETING' }],
    ['break-glass without a session', { purposeOfUse: 'BTG' }],
    ['no organization', { organizationId: '' }],
    ['an id that is the name of a role, and no role', { id: 'hub-administrator', role: 'hub-administrator?' }],
  ])('allows nothing clinical to a caller with %s', async (_name, change) => {
    const caller = { ...physician, ...change } as Caller;
    const request = await access.forCaller(database.db, caller);
    expect(await readable(caller)).toEqual([]);
    for (const action of ACTIONS) expect(request.decide(action, await ownStudy(caller)).allowed).toBe(false);
  });

  it('about a kind of record that the policy does not know is a denial', async () => {
    const request = await access.forCaller(database.db, physician);
    expect(request.decide('read', { ...(await ownStudy()), type: 'Media' }).allowed).toBe(false);
    expect(request.decideGeneral('write', 'Media').allowed).toBe(false);
    expect(request.decideGeneral('write').allowed).toBe(false);
  });

  it('is not made when the facts can’t be read', async () => {
    const broken = { query: () => Promise.reject(new Error('the database is gone')) };
    await expect((await createAccess({ consentRequiredFor: [] })).forCaller(broken, physician)).rejects.toThrow('gone');
  });

  it('of a stranger says no more than that he may not know', async () => {
    const request = await access.forCaller(database.db, { ...physician, organizationId: 'b' });
    const row = (await findRow(database.db, request, 'ImagingStudy', 's'))!;
    expect(request.decide('read', row)).toMatchObject({ allowed: false, mayKnow: false, evidence: [] });
  });

  it('is not made while no policy is in force', async () => {
    const undone = new Error('undone');
    const attempt = database.db.transaction(async (tx) => {
      await tx.query(sql`update fact_epoch set epoch = gen_random_uuid(), policy_epoch = null`);
      await expect(access.forCaller(tx, physician)).rejects.toMatchObject({ status: 503 });
      await expect(access.prepare(tx)).rejects.toMatchObject({ status: 503 });
      throw undone;
    });
    await expect(attempt).rejects.toBe(undone);
    expect(await readable(physician)).toEqual(['p', 's']);
  });

  it('of an auditor, a commission officer and the hub’s administrator opens no clinical record', async () => {
    for (const change of [
      { role: 'auditor', purposeOfUse: 'HCOMPL' },
      { role: 'commission-officer', purposeOfUse: 'PUBHLTH' },
      { role: 'hub-administrator', purposeOfUse: 'HOPERAT' },
    ] as Partial<Caller>[])
      expect(await readable({ ...physician, ...change })).toEqual([]);
  });
});
