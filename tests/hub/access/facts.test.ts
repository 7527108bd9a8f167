import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CANONICAL_BASE, extensions, systems } from '../../../fhir-profiles/codes.js';
import type { Caller } from '../../../hub/access/caller.js';
import type { Decision } from '../../../hub/access/decision.js';
import { findRow } from '../../../hub/access/find-row.js';
import { consentWriter, refreshConsents } from '../../../hub/access/consent/consents.js';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import { refreshRegistrations } from '../../../hub/access/policy/registrations.js';
import { readAgreement, signAgreement } from '../../../hub/access/agreements/agreements.js';
import { affiliationWriter, organizationWriter } from '../../../hub/access/agreements/registry-writers.js';
import type { ResourceWriter } from '../../../hub/access/write-request.js';
import { createResources, newId, type ResourceRow } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const OFFSET = '+08:00';
let database: TestDatabase;
let access: PolicyAccess;
let patients: Record<'a' | 'b', string>;
let study: string;

const caller = (organizationId: string, more: Partial<Caller> = {}): Caller => ({
  id: 'Account/x',
  kind: 'person',
  name: 'x',
  organizationId,
  role: 'physician',
  purposeOfUse: 'TREAT',
  clientId: 'c',
  scope: '',
  authenticatedAt: 0,
  ...more,
});
const herself = (): Caller => caller('', { role: 'patient', purposeOfUse: 'PATRQT', patientId: patients.b });
const registrar = caller('region', { role: 'hub-administrator', purposeOfUse: 'HOPERAT' });

/** Writes as the FHIR face does: in a transaction, with the caller's policy. */
async function write(writer: ResourceWriter, by: Caller, resource: FhirResource, current?: ResourceRow): Promise<ResourceRow> {
  return database.db.transaction(async (tx) => {
    const request = { caller: by, context: { requestId: 'r', address: '' }, access: await access.forCaller(tx, by), resource };
    const [row] = current ? [await writer.update(tx, { ...request, current })] : await writer.create(tx, [request]);
    return row!;
  });
}

async function decide(by: Caller, action: 'read' | 'know' = 'read'): Promise<Decision> {
  return database.db.snapshot(async (tx) => {
    const request = await access.forCaller(tx, by);
    return request.decide(action, (await findRow(tx, request, 'ImagingStudy', study))!);
  });
}

const organization = (id: string, kind: string, more: object = {}): FhirResource => ({
  resourceType: 'Organization',
  id,
  name: id,
  type: [{ coding: [{ system: systems.organizationKind, code: kind }] }],
  ...more,
});
const affiliation = (id: string, kind: string, of: string, participant: string, more: object = {}): FhirResource => ({
  resourceType: 'OrganizationAffiliation',
  id,
  active: true,
  organization: { reference: `Organization/${of}` },
  participatingOrganization: { reference: `Organization/${participant}` },
  code: [{ coding: [{ system: systems.affiliationKind, code: kind }] }],
  ...more,
});
const scope = (...limits: object[]) => ({ extension: [{ url: extensions.sharingScope, extension: limits }] });
const consent = (decision: 'permit' | 'deny', patient: string, more: object = {}): FhirResource => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
  patient: { reference: `Patient/${patient}` },
  provision: { type: decision },
  ...more,
});
const consents = consentWriter(OFFSET);
const deps = { utcOffset: OFFSET, audit: { append: async () => undefined } };
const affiliations = affiliationWriter(deps);
const organizations = organizationWriter(deps);

/** An administrator of each of these organizations signs the terms as they stand. */
async function signed(row: ResourceRow, ...by: string[]): Promise<ResourceRow> {
  for (const id of by)
    await database.db.transaction(async (tx) => {
      const { digest } = await readAgreement(tx, row.id, OFFSET);
      const administrator = caller(id, { id: `Account/${id}`, role: 'hospital-administrator', purposeOfUse: 'HOPERAT' });
      const context = { requestId: 'r', address: '' };
      await signAgreement({ ...deps, seal: async () => 'jws' }, tx, { id: row.id, digest }, { caller: administrator, context });
    });
  return row;
}

beforeAll(async () => {
  database = await testDatabase();
  access = await createAccess({ consentRequiredFor: ['HRESCH'] });
  for (const id of ['a', 'b', 'c']) await write(organizations, registrar, organization(id, 'hospital'));
  await write(organizations, registrar, organization('k', 'consortium'));
});
afterAll(async () => {
  await database.close();
});
beforeEach(async () => {
  const { db } = database;
  await db.query(sql`delete from consortium_member`);
  await db.query(sql`delete from sharing_agreement`);
  await db.query(sql`delete from agreement_signature`);
  await db.query(sql`delete from resource where type = 'OrganizationAffiliation'`);
  patients = { a: newId(), b: newId() };
  const rows = await createResources(db, [
    { resource: { resourceType: 'Patient', id: patients.a }, custodianId: 'a' },
    { resource: { resourceType: 'Patient', id: patients.b }, custodianId: 'b' },
    {
      resource: {
        resourceType: 'ImagingStudy',
        subject: { reference: `Patient/${patients.a}` },
        started: '2026-05-06',
        modality: [{ system: systems.dicomTerminology, code: 'CT' }],
      },
      custodianId: 'a',
    },
  ]);
  study = rows[2]!.id;
  await refreshRegistrations(db, [patients.a, patients.b]);
});

async function link(): Promise<void> {
  await database.db.transaction(async (tx) => {
    await tx.query(
      sql`insert into cross_reference (patient_id, cluster_id) values (${patients.a}, ${patients.a}), (${patients.b}, ${patients.a})`,
    );
    await refreshRegistrations(tx, [patients.a, patients.b]);
    await refreshConsents(tx, [patients.a, patients.b]);
  });
}
async function unlink(): Promise<void> {
  await database.db.transaction(async (tx) => {
    await tx.query(sql`delete from cross_reference where cluster_id = ${patients.a}`);
    await refreshRegistrations(tx, [patients.a, patients.b]);
    await refreshConsents(tx, [patients.a, patients.b]);
  });
}
async function join(...members: string[]): Promise<ResourceRow[]> {
  const rows: ResourceRow[] = [];
  for (const member of members)
    rows.push(
      await signed(await write(affiliations, registrar, affiliation(newId(), 'consortium-membership', 'k', member)), member),
    );
  return rows;
}

describe('a link between Patients', () => {
  it('lets the other hospital know, and its end makes it a stranger again', async () => {
    expect(await decide(caller('b'))).toMatchObject({ allowed: false, mayKnow: false });
    await link();
    expect(await decide(caller('b'))).toMatchObject({ allowed: false, mayKnow: true, reason: 'no-basis' });
    expect((await decide(caller('b'))).wouldChange?.length).toBeGreaterThan(0);
    expect(await decide(caller('b'), 'know')).toMatchObject({ allowed: true, basis: 'registered' });
    await unlink();
    expect(await decide(caller('b'))).toMatchObject({ allowed: false, mayKnow: false });
  });

  it('lets a patient see what the other hospital holds of her', async () => {
    expect((await decide(herself())).allowed).toBe(false);
    await link();
    expect(await decide(herself())).toMatchObject({ allowed: true, basis: 'patient' });
  });
});

describe('a consortium', () => {
  it('opens studies of common patients to its members, and to nobody else', async () => {
    await join('a', 'b');
    expect((await decide(caller('b'))).allowed).toBe(false);
    await link();
    expect(await decide(caller('b'))).toMatchObject({
      allowed: true,
      basis: 'consortium',
      evidence: [{ kind: 'consortium', id: 'k' }, { kind: 'registration' }],
    });
    expect((await decide(caller('c'))).allowed).toBe(false);
  });

  it('shares what both its charter and the terms of the member’s own membership cover', async () => {
    await link();
    const [ofB] = await join('b');
    const resign = async () => {
      await signed({ id: 'terms' } as ResourceRow, 'a');
      await signed(ofB!, 'b');
    };
    const charter = (code: string) => scope({ url: 'modality', valueCoding: { code } });
    await signed(
      await write(affiliations, registrar, affiliation('terms', 'consortium-membership', 'k', 'a', charter('MR'))),
      'a',
    );
    expect((await decide(caller('b'))).allowed).toBe(false);
    const [row] = await database.db.query<ResourceRow & Record<string, unknown>>(
      sql`select * from resource where type = 'OrganizationAffiliation' and id = 'terms'`,
    );
    const terms = await write(
      affiliations,
      registrar,
      affiliation('terms', 'consortium-membership', 'k', 'a', charter('CT')),
      row,
    );
    expect((await decide(caller('b'))).allowed).toBe(false);
    await signed(terms, 'a');
    expect((await decide(caller('b'))).allowed).toBe(true);
    const [k] = await database.db.query<ResourceRow & Record<string, unknown>>(
      sql`select * from resource where type = 'Organization' and id = 'k'`,
    );
    const limited = await write(organizations, registrar, organization('k', 'consortium', charter('MR')), k);
    expect((await decide(caller('b'))).allowed).toBe(false);
    await resign();
    expect((await decide(caller('b'))).allowed).toBe(false);
    await write(organizations, registrar, organization('k', 'consortium'), limited);
    expect((await decide(caller('b'))).allowed).toBe(false);
    await resign();
    expect((await decide(caller('b'))).allowed).toBe(true);
  });
});

describe('a sharing agreement', () => {
  const agreement = async (more: object = {}) =>
    signed(
      await write(
        affiliations,
        registrar,
        affiliation(newId(), 'sharing-agreement', 'a', 'c', { period: { start: '2026-01-01' }, ...more }),
      ),
      'a',
      'c',
    );

  it('opens the custodian’s studies to the recipient, in one direction', async () => {
    const { id } = await agreement();
    expect(await decide(caller('c'))).toMatchObject({ allowed: true, basis: 'agreement', evidence: [{ kind: 'agreement', id }] });
    expect((await decide(caller('b'))).allowed).toBe(false);
  });

  it('limited to a body site covers no study in which one series does not say its site', async () => {
    await agreement(scope({ url: 'bodySite', valueCoding: { code: '816094009' } }));
    const series = (uid: string, bodySite?: object) => ({ uid, modality: { code: 'CT' }, ...(bodySite ? { bodySite } : {}) });
    const chest = { code: '816094009' };
    const store = async (...all: object[]) => {
      const subject = { reference: `Patient/${patients.a}` };
      const [row] = await createResources(database.db, [
        { resource: { resourceType: 'ImagingStudy', subject, series: all }, custodianId: 'a' },
      ]);
      study = row!.id;
    };
    await store(series('1', chest), series('2', chest));
    expect((await decide(caller('c'))).allowed).toBe(true);
    await store(series('1', chest), series('2'));
    expect((await decide(caller('c'))).allowed).toBe(false);
    await store(series('1', chest), series('2', { display: 'SOMEWHERE' }));
    expect((await decide(caller('c'))).allowed).toBe(false);
  });

  it('ends when it is made inactive', async () => {
    const row = await agreement();
    await write(affiliations, registrar, affiliation(row.id, 'sharing-agreement', 'a', 'c', { active: false }), row);
    expect((await decide(caller('c'))).allowed).toBe(false);
  });

  it('covers the last day that its period names, in the region’s time, and not the next', async () => {
    const today = (days: number) => new Date(Date.now() + 8 * 3_600_000 + days * 86_400_000).toISOString().slice(0, 10);
    await agreement({ period: { start: '2026-01-01', end: today(-1) } });
    expect((await decide(caller('c'))).allowed).toBe(false);
    await agreement({ period: { start: '2026-01-01', end: today(1) } });
    expect((await decide(caller('c'))).allowed).toBe(true);
  });

  it.each([
    ['between a hospital and itself', () => affiliation('x', 'sharing-agreement', 'a', 'a'), 'participatingOrganization'],
    ['with a consortium', () => affiliation('x', 'sharing-agreement', 'k', 'a'), 'OrganizationAffiliation.organization'],
    ['with nobody', () => affiliation('x', 'sharing-agreement', 'a', 'nobody'), 'participatingOrganization'],
    ['of a kind that is not known', () => affiliation('x', 'friendship', 'a', 'b'), 'code'],
    [
      'with a period that is no date',
      () => affiliation('x', 'sharing-agreement', 'a', 'b', { period: { start: '2026-02-30' } }),
      'period',
    ],
    [
      'with an end that is no date',
      () => affiliation('x', 'sharing-agreement', 'a', 'b', { period: { start: '2026-01-01', end: 'soon' } }),
      'period',
    ],
    [
      'with a limit that is not known',
      () => affiliation('x', 'sharing-agreement', 'a', 'b', scope({ url: 'weekday', valueCoding: { code: 'MO' } })),
      'extension',
    ],
    [
      'with a limit without a code',
      () => affiliation('x', 'sharing-agreement', 'a', 'b', scope({ url: 'modality', valueCoding: { display: 'CT' } })),
      'extension',
    ],
    [
      'with an age in an unknown unit',
      () =>
        affiliation('x', 'sharing-agreement', 'a', 'b', scope({ url: 'notOlderThan', valueDuration: { value: 1, code: 'h' } })),
      'extension',
    ],
    [
      'with an age below zero',
      () =>
        affiliation('x', 'sharing-agreement', 'a', 'b', scope({ url: 'notOlderThan', valueDuration: { value: -1, code: 'd' } })),
      'extension',
    ],
  ])('%s is refused', async (_name, resource, at) => {
    await expect(write(affiliations, registrar, resource())).rejects.toMatchObject({
      status: 422,
      issues: [{ expression: [expect.stringContaining(at)] }],
    });
  });

  it('of a suspended custodian opens nothing until the suspension ends', async () => {
    await agreement();
    await database.db.query(sql`update organization set active = false where id = 'a'`);
    expect((await decide(caller('c'))).allowed).toBe(false);
    expect((await decide(caller('a'))).allowed).toBe(true);
    await database.db.query(sql`update organization set active = true where id = 'a'`);
    expect((await decide(caller('c'))).allowed).toBe(true);
  });
});

describe('a consent', () => {
  const own = caller('a', { role: 'hospital-system' });

  it('that denies stops disclosure, not the custodian and not the patient; withdrawn, it stops nothing', async () => {
    await link();
    await join('a', 'b');
    const row = await write(consents, own, consent('deny', patients.a));
    expect(await decide(caller('b'))).toMatchObject({
      allowed: false,
      mayKnow: true,
      reason: 'consent',
      evidence: [{ kind: 'consent', id: row.id, version: 1, provision: 'provision' }],
    });
    expect((await decide(caller('a'))).allowed).toBe(true);
    expect((await decide(herself())).allowed).toBe(true);
    await write(consents, own, consent('deny', patients.a, { status: 'inactive' }), row);
    expect((await decide(caller('b'))).allowed).toBe(true);
  });

  it('given at one hospital holds at the others of the person, for as long as they are linked', async () => {
    await signed(
      await write(affiliations, registrar, affiliation(newId(), 'sharing-agreement', 'a', 'c', { period: { start: '2026' } })),
      'a',
      'c',
    );
    await write(consents, herself(), consent('deny', patients.b));
    expect((await decide(caller('c'))).allowed).toBe(true);
    await link();
    expect(await decide(caller('c'))).toMatchObject({ allowed: false, reason: 'consent' });
    await unlink();
    expect((await decide(caller('c'))).allowed).toBe(true);
  });

  it('that is given after the link holds at both too', async () => {
    await signed(
      await write(affiliations, registrar, affiliation(newId(), 'sharing-agreement', 'a', 'c', { period: { start: '2026' } })),
      'a',
      'c',
    );
    await link();
    await write(consents, herself(), consent('deny', patients.b));
    expect((await decide(caller('c'))).allowed).toBe(false);
  });

  it('is needed for research, at the custodian too, and a denial beats it', async () => {
    const researcher = caller('a', { purposeOfUse: 'HRESCH' });
    expect(await decide(researcher)).toMatchObject({ allowed: false, reason: 'consent' });
    await write(consents, own, consent('permit', patients.a));
    expect((await decide(researcher)).allowed).toBe(true);
    await write(consents, own, consent('deny', patients.a));
    expect((await decide(researcher)).allowed).toBe(false);
  });

  it('is written by the patient for herself and by a hospital for its own Patients, and stays theirs', async () => {
    await expect(write(consents, caller('b', { role: 'hospital-system' }), consent('deny', patients.a))).rejects.toMatchObject({
      status: 422,
    });
    await expect(write(consents, herself(), consent('deny', patients.a))).rejects.toMatchObject({ status: 422 });
    await expect(write(consents, own, consent('deny', newId()))).rejects.toMatchObject({ status: 422 });
    const row = await write(consents, own, consent('deny', patients.a));
    expect(row.custodian_id).toBe('a');
    await expect(write(consents, own, consent('deny', patients.b), row)).rejects.toMatchObject({ status: 422 });
  });

  it('and a link that come at the same time miss each other in no order', async () => {
    await signed(
      await write(affiliations, registrar, affiliation(newId(), 'sharing-agreement', 'a', 'c', { period: { start: '2026' } })),
      'a',
      'c',
    );
    await Promise.all([link(), write(consents, caller('b', { role: 'hospital-system' }), consent('deny', patients.b))]);
    expect(await decide(caller('c'))).toMatchObject({ allowed: false, reason: 'consent' });
  });
});

describe('an organization', () => {
  it('is known with its kind, its assigner and whether it is active', async () => {
    const resource = organization('d', 'hospital', {
      active: false,
      extension: [{ url: extensions.patientAssigner, valueUri: `${CANONICAL_BASE}/d` }],
    });
    await write(organizations, registrar, resource);
    const [row] = await database.db.query(sql`select kind, assigner_system, active from organization where id = 'd'`);
    expect(row).toEqual({ kind: 'hospital', assigner_system: `${CANONICAL_BASE}/d`, active: false });
  });
});
