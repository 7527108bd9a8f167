import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { STANDING_LIFETIME } from '../../../hub/access/authentication/standing.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { type Client, clientOf, made, openWorld, type World } from '../security/world.js';

const DAY = 86_400_000;
const ROLE_CODE = 'http://terminology.hl7.org/CodeSystem/v3-RoleCode';
const MOTHER = { system: ROLE_CODE, code: 'MTH' };
const GUARDIAN = { system: 'http://terminology.hl7.org/CodeSystem/v3-RoleClass', code: 'GUARD' };

let world: World;
let child: FhirResource & { id: string };
let adult: FhirResource & { id: string };
let studyOfChild: FhirResource & { id: string };
let studyOfAdult: FhirResource & { id: string };
let ofChild: FhirResource & { id: string };
let ofAdult: FhirResource & { id: string };
let mother: Client;
let officer: Client;
let administrator: Client;

/** The region's day so many years and days ago; of the 29th of February the 28th, where a year has none. */
function bornAgo(years: number, days = 0): string {
  const at = new Date(Date.now() + 8 * 3_600_000);
  const month = at.getUTCMonth();
  at.setUTCFullYear(at.getUTCFullYear() - years);
  if (at.getUTCMonth() !== month) at.setUTCDate(0);
  at.setUTCDate(at.getUTCDate() - days);
  return at.toISOString().slice(0, 10);
}

/** What is true of today stays so for a while. */
async function untilAwayFromMidnight(): Promise<void> {
  const left = DAY - ((Date.now() + 8 * 3_600_000) % DAY);
  if (left < 60_000) await sleep(left + 1_000);
}

const related = (patient: { id: string }, coding: object, more: Record<string, unknown> = {}): FhirResource => ({
  resourceType: 'RelatedPerson',
  active: true,
  patient: { reference: `Patient/${patient.id}` },
  relationship: [{ coding: [coding] }],
  name: [{ text: '何秀英' }],
  period: { start: '2020-01-01' },
  ...more,
});
const consentOf = (patient: { id: string }): FhirResource => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
  category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
  patient: { reference: `Patient/${patient.id}` },
  dateTime: '2026-03-08',
  policy: [{ uri: 'https://federation-hub.example/fhir/policy/imaging-sharing' }],
  provision: { type: 'deny' },
});
const reads = async (client: Client, study: { id: string }) =>
  (await client.get(`/fhir/ImagingStudy/${study.id}`)).status === 200;
const change = async (resource: FhirResource & { id: string }, more: Record<string, unknown>) =>
  expect((await administrator.put({ ...resource, ...more })).status).toBe(200);

beforeAll(async () => {
  world = await openWorld();
  administrator = await world.person('administrator-a');
  child = await world.patient('a', 'CHILD', { name: [{ text: '何小宝' }], birthDate: bornAgo(10) });
  adult = await world.patient('a', 'ADULT', { name: [{ text: '何大山' }], birthDate: bornAgo(40) });
  studyOfChild = await world.study('a', child);
  studyOfAdult = await world.study('a', adult);
  ofChild = made(await administrator.post(related(child, MOTHER)));
  ofAdult = made(await world.systems.a.post(related(adult, GUARDIAN)));
  await world.hub.enrol(
    { username: 'mother', role: 'patient', patientId: world.otherOfA.id, relatedPersons: [ofChild.id] },
    { username: 'appointed', role: 'patient', relatedPersons: [ofAdult.id] },
    { username: 'unbound', role: 'patient', patientId: world.otherOfA.id },
    { username: 'child', role: 'patient', patientId: child.id },
  );
  mother = await world.person('mother');
  officer = await world.person('appointed');
});
afterAll(() => world?.hub.stop());

describe('a guardian on record', () => {
  it('sees what the ward may see, beside what is her own, and nobody else’s', async () => {
    expect(await reads(mother, studyOfChild)).toBe(true);
    expect(await reads(mother, world.otherStudyOfA)).toBe(true);
    expect(await reads(mother, studyOfAdult)).toBe(false);
    expect(await reads(mother, world.studyOfA)).toBe(false);
    const found = (await mother.get(`/fhir/ImagingStudy?patient=${child.id}`)).body.entry.map(
      (e: { resource: { id: string } }) => e.resource.id,
    );
    expect(found).toEqual([studyOfChild.id]);
    expect((await mother.get(`/fhir/RelatedPerson?patient=${child.id}`)).body.entry).toHaveLength(1);
    expect((await (await world.person('child')).get(`/fhir/RelatedPerson/${ofChild.id}`)).status).toBe(200);
    expect(await reads(officer, studyOfAdult)).toBe(true);
    expect(await reads(officer, studyOfChild)).toBe(false);
  });

  it('is named in the audit with the ward, and sees the ward’s audit', async () => {
    await reads(mother, studyOfChild);
    const { body } = await mother.get(`/fhir/AuditEvent?patient=${child.id}&_count=50`);
    const event = body.entry
      .map((e: { resource: FhirResource }) => e.resource)
      .find(
        (e: FhirResource) =>
          JSON.stringify(e).includes(`ImagingStudy/${studyOfChild.id}`) && JSON.stringify(e).includes('guardian'),
      );
    expect(JSON.stringify(event)).toContain(`Patient/${child.id}`);
    expect(JSON.stringify(event)).toContain(`guardian ${ofChild.id}`);
    expect(JSON.stringify(event)).toContain(`Patient/${world.otherOfA.id}`);
    await reads(officer, studyOfAdult);
    const own = (await officer.get(`/fhir/AuditEvent?patient=${adult.id}&_count=50`)).body;
    expect(JSON.stringify(own)).toContain(`RelatedPerson/${ofAdult.id}`);
    const question = { resource: `ImagingStudy/${studyOfChild.id}`, action: 'read' };
    expect((await mother.post(question, '/access/explain')).body).toMatchObject({
      allowed: true,
      basis: 'patient',
      evidence: [
        { kind: 'patient', id: child.id },
        { kind: 'guardian', id: ofChild.id },
      ],
    });
    expect((await mother.get(`/fhir/AuditEvent?patient=${adult.id}`)).body.entry).toBeUndefined();
  });

  it('is nobody by her own word, nor by one half of the binding', async () => {
    const unbound = await world.person('unbound');
    expect(await reads(unbound, studyOfChild)).toBe(false);
    for (const client of [mother, unbound, await world.person('child'), await world.person('physician-a')])
      expect((await client.post(related(child, GUARDIAN))).status).toBe(403);
    // a login that is bound to a record of another relationship, and to one that was never made
    const aunt = made(await administrator.post(related(child, { system: ROLE_CODE, code: 'AUNT' })));
    await world.hub.enrol({ username: 'aunt', role: 'patient', relatedPersons: [aunt.id, 'nobody'] });
    const visitor = await world.person('aunt');
    expect(await reads(visitor, studyOfChild)).toBe(false);
    expect((await visitor.get(`/fhir/RelatedPerson/${aunt.id}`)).status).toBe(404);
    // the same record made a guardian's by the hospital
    await change(aunt, { relationship: [{ coding: [GUARDIAN] }] });
    expect(await reads(visitor, studyOfChild)).toBe(true);
    await change(aunt, { relationship: aunt.relationship });
    expect(await reads(visitor, studyOfChild)).toBe(false);
  });

  it('is kept by the ward’s own hospital alone', async () => {
    for (const client of [await world.person('administrator-b'), world.systems.b])
      expect((await client.post(related(child, GUARDIAN))).status).toBe(422);
    expect((await (await world.person('administrator-b')).put({ ...ofChild, active: false })).status).toBe(422);
    expect((await administrator.put({ ...ofChild, patient: { reference: `Patient/${adult.id}` } })).status).toBe(422);
    for (const period of [{ start: '2026-02-30' }, { start: '2026-05-01', end: '2026-04-01' }])
      expect((await administrator.put({ ...ofChild, period })).status).toBe(422);
    expect((await world.systems.b.get(`/fhir/RelatedPerson/${ofChild.id}`)).status).toBe(404);
  });

  it('ends with the period, with active: false, and with the account', async () => {
    await untilAwayFromMidnight();
    const today = bornAgo(0);
    await change(ofChild, { period: { start: '2020-01-01', end: bornAgo(0, 1) } });
    expect(await reads(mother, studyOfChild)).toBe(false);
    await change(ofChild, { period: { start: '2020-01-01', end: today } });
    expect(await reads(mother, studyOfChild)).toBe(true);
    await change(ofChild, { active: false });
    expect(await reads(mother, studyOfChild)).toBe(false);
    await change(ofChild, {});
    expect(await reads(mother, studyOfChild)).toBe(true);
    await world.hub.db.pool.query("update organization set active = false where id = 'a'");
    expect(await reads(mother, studyOfChild)).toBe(false);
    await world.hub.db.pool.query("update organization set active = true where id = 'a'");
  });

  it.each([
    ['the day before the 18th birthday', () => bornAgo(18, -1), true],
    ['the 18th birthday', () => bornAgo(18), false],
    ['an unknown birth date', () => undefined, false],
    ['a year of birth whose first day makes an adult', () => bornAgo(18).slice(0, 4), false],
  ])('who is a parent acts until majority: %s', async (_what, born, allowed) => {
    await untilAwayFromMidnight();
    const birthDate = born();
    const { birthDate: _known, ...rest } = child;
    const patient = { ...rest, ...(birthDate ? { birthDate } : {}) };
    expect((await world.systems.a.put(patient as FhirResource)).status).toBe(200);
    expect(await reads(mother, studyOfChild)).toBe(allowed);
    expect((await mother.get(`/fhir/AuditEvent?patient=${child.id}`)).body.entry !== undefined).toBe(allowed);
    expect((await mother.post(consentOf(child))).status).toBe(allowed ? 201 : 422);
    expect((await world.systems.a.put(child)).status).toBe(200);
  });

  it('gives consent in the ward’s place, which the ward changes once she speaks for herself, and never the other way round', async () => {
    const given = made(await mother.post({ ...consentOf(child), performer: [{ reference: `Patient/${world.otherOfA.id}` }] }));
    expect(given.performer).toEqual([{ reference: `RelatedPerson/${ofChild.id}` }]);
    expect((await mother.put({ ...given, status: 'inactive' })).status).toBe(200);
    expect((await administrator.put({ ...given, status: 'active' })).status).toBe(403);
    const herself = await world.person('child');
    const hers = await herself.put({ ...given, status: 'active', performer: [{ reference: `Patient/${child.id}` }] });
    expect(hers.status).toBe(200);
    for (const client of [mother, administrator]) expect((await client.put({ ...given, status: 'inactive' })).status).toBe(403);
    expect((await mother.post(consentOf(adult))).status).toBe(422);
    expect((await officer.post(consentOf(adult))).body.performer).toEqual([{ reference: `RelatedPerson/${ofAdult.id}` }]);
    await herself.put({ ...given, status: 'inactive', performer: [{ reference: `Patient/${child.id}` }] });
  });

  it('whose login is bound no more is none, within the time that a standing is remembered', async () => {
    const bind = (relatedPersons: string[]) =>
      bindAccount(world.hub.db, {
        issuer: `${world.hub.url}/demo-idp`,
        subject: 'mother',
        name: 'mother',
        roles: ['patient'],
        patientId: world.otherOfA.id,
        relatedPersons,
      });
    await bind([]);
    await new Promise((resolve) => setTimeout(resolve, STANDING_LIFETIME + 100));
    expect(await reads(mother, studyOfChild)).toBe(false);
    expect(await reads(mother, world.otherStudyOfA)).toBe(true);
    expect((await clientOf(world.hub, undefined).get(`/fhir/ImagingStudy/${studyOfChild.id}`)).status).toBe(401);
  });
});
