import { randomUUID } from 'node:crypto';
import { systems } from '../../fhir-profiles/codes.js';
import { consentWriter } from '../../hub/access/consent/consents.js';
import { refreshRegistrations } from '../../hub/access/policy/registrations.js';
import type { WriteRequest } from '../../hub/access/write-request.js';
import type { Database } from '../../hub/store/database.js';
import { createResources, newId, type Write } from '../../hub/store/resources.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { raw, sql } from '../../hub/store/sql.js';

/** What a province is made of. Hospitals 0 to 39 hold studies, eight to a consortium; 40 to 49 hold none and see only what was granted to them. */
export interface Province {
  studies: number;
  consents: number;
  grants: number;
}

export const HOLDERS = 40;
export const EXPERTS = 10;
const CONSORTIUM = 8;
const STUDIES_EACH = 5;
const BATCH = 2000;

export const hospitalId = (n: number): string => `h${n}`;

interface Person {
  /** Hospitals of their Patients; the second, if there is one, is of the same consortium and linked with the first. */
  hospitals: number[];
  patients: string[];
}

/** The same numbers give the same province. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

/** Fills an empty, migrated database through the hub's own store. @returns Patients of one hospital who are also known at another of its consortium. */
export async function fillProvince(
  db: Database,
  province: Province,
  log: (line: string) => void,
): Promise<Map<string, string[]>> {
  const next = random(20260101);
  await organizations(db);
  const persons = personsOf(Math.round(province.studies / (STUDIES_EACH * 1.25)), next);
  await inBatches(persons, BATCH / 2, 'patients', log, async (some) => {
    await db.transaction(async (tx) => {
      await createResources(tx, some.flatMap(patientsOf));
      const linked = some.filter((p) => p.patients.length > 1);
      await tx.query(sql`
        insert into cross_reference (patient_id, cluster_id)
        select p, c from unnest(${linked.flatMap((p) => p.patients)}::text[], ${linked.flatMap((p) => p.patients.map(() => p.patients[0]!))}::text[]) as n (p, c)`);
      await refreshRegistrations(
        tx,
        some.flatMap((p) => p.patients),
      );
    });
  });
  const patients = persons.flatMap((p) => p.patients.map((id, i) => ({ id, hospital: p.hospitals[i]! })));
  const granted: { id: string; patient: string; custodian: string }[] = [];
  await inBatches(patients, BATCH / STUDIES_EACH, 'studies', log, async (some) => {
    const writes = some.flatMap(({ id, hospital }) =>
      Array.from({ length: STUDIES_EACH }, (): Write => {
        const resource: FhirResource & { id: string } = { ...studyOf(id, next), id: newId() };
        if (next() < (2 * province.grants) / province.studies)
          granted.push({ id: resource.id, patient: id, custodian: hospitalId(hospital) });
        return { resource, custodianId: hospitalId(hospital) };
      }),
    );
    await db.transaction((tx) => createResources(tx, writes));
  });
  await grants(db, granted.slice(0, province.grants));
  const every = Math.max(1, Math.floor(patients.length / province.consents));
  const willing = patients.filter((_, i) => i % every === 0).slice(0, province.consents);
  await inBatches(willing, BATCH, 'consents', log, (some) => consents(db, some, next));
  log('analyzing');
  for (const table of ['resource', 'patient_registration', 'cross_reference', 'consent_rule', 'access_grant', 'name_word'])
    await db.query(raw(`vacuum analyze ${table}`));
  return linkedPatients(persons);
}

function personsOf(count: number, next: () => number): Person[] {
  return Array.from({ length: count }, (_, i) => {
    const first = i % HOLDERS;
    const consortium = first - (first % CONSORTIUM);
    const hospitals = next() < 0.25 ? [first, consortium + ((first + 1) % CONSORTIUM)] : [first];
    return { hospitals, patients: hospitals.map(() => newId()) };
  });
}

function linkedPatients(persons: readonly Person[]): Map<string, string[]> {
  const linked = new Map<string, string[]>();
  for (const { hospitals, patients } of persons) {
    const at = hospitalId(hospitals[0]!);
    if (patients.length > 1) linked.set(at, [...(linked.get(at) ?? []), patients[0]!]);
  }
  return linked;
}

async function organizations(db: Database): Promise<void> {
  const ids = Array.from({ length: HOLDERS + EXPERTS }, (_, n) => hospitalId(n));
  await db.query(sql`
    insert into organization (id, kind, name, assigner_system) select h, 'hospital', h, 'urn:assigner:' || h from unnest(${ids}::text[]) h`);
  const consortia = Array.from({ length: HOLDERS / CONSORTIUM }, (_, n) => `c${n}`);
  await db.query(sql`insert into organization (id, kind, name) select c, 'consortium', c from unnest(${consortia}::text[]) c`);
  await db.query(sql`insert into consortium_charter (consortium_id) select unnest(${consortia}::text[])`);
  const members = ids.slice(0, HOLDERS);
  await db.query(sql`
    insert into consortium_member (affiliation_id, consortium_id, organization_id)
    select 'm-' || h, c, h from unnest(${members}::text[], ${members.map((_, n) => `c${Math.floor(n / CONSORTIUM)}`)}::text[]) as n (h, c)`);
  const recipients = members.map((_, n) => hospitalId((n + CONSORTIUM + 1) % HOLDERS));
  await db.query(sql`
    insert into sharing_agreement (id, custodian_id, recipient_id, modality, not_older_than_days)
    select 'a-' || h, h, r, '{CT,MR}', 365 from unnest(${members}::text[], ${recipients}::text[]) as n (h, r)`);
}

function patientsOf({ hospitals, patients }: Person): Write[] {
  return patients.map((id, i) => ({
    custodianId: hospitalId(hospitals[i]!),
    resource: {
      resourceType: 'Patient',
      id,
      identifier: [{ system: `urn:assigner:${hospitalId(hospitals[i]!)}`, value: id.slice(-12) }],
      name: [{ text: `Patient ${id.slice(-6)}` }],
      gender: 'female',
      birthDate: '1960-02-03',
    },
  }));
}

const MODALITIES = ['CT', 'CT', 'CT', 'CT', 'MR', 'MR', 'DX', 'DX', 'US', 'US'];
const SITES = ['51185008', '69536005', '818981001'];

/** A study of about 1.5 kB of the last six years: one series with three instances. */
export function studyOf(patient: string, next: () => number = Math.random): FhirResource {
  const uid = `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
  const modality = { system: systems.dicomTerminology, code: MODALITIES[Math.floor(next() * MODALITIES.length)]! };
  const instance = (n: number) => ({
    uid: `${uid}.1.${n}`,
    sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
    number: n,
  });
  return {
    resourceType: 'ImagingStudy',
    ...(next() < 0.001 ? { meta: { security: [{ system: systems.confidentiality, code: 'R' }] } } : {}),
    status: 'available',
    identifier: [
      { system: systems.dicomUid, value: `urn:oid:${uid}` },
      {
        type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] },
        system: 'urn:oid:1.2.826.0.1.3680043.10.1451.78',
        value: uid.slice(-12),
      },
    ],
    subject: { reference: `Patient/${patient}` },
    started: new Date(Date.now() - next() * 6 * 365 * 86_400_000).toISOString(),
    modality: [modality],
    description: '胸部CT平扫',
    series: [
      {
        uid: `${uid}.1`,
        number: 1,
        modality,
        description: 'Chest axial lung',
        bodySite: { system: 'http://snomed.info/sct', code: SITES[Math.floor(next() * SITES.length)]! },
        instance: [instance(1), instance(2), instance(3)],
      },
    ],
  };
}

/** Each grant opens one study to one of the expert hospitals. */
async function grants(db: Database, studies: readonly { id: string; patient: string; custodian: string }[]): Promise<void> {
  await db.query(sql`
    insert into access_grant (id, task_id, custodian_id, recipient_id, patient_id, resources, valid_from, granted_by)
    select 'g-' || n.id, 't-' || n.id, n.custodian, 'h' || (${HOLDERS} + n.place % ${EXPERTS}), n.patient, array['Patient/' || n.patient, 'ImagingStudy/' || n.id], now() - interval '1 day', n.custodian
    from unnest(${studies.map((s) => s.id)}::text[], ${studies.map((s) => s.patient)}::text[], ${studies.map((s) => s.custodian)}::text[]) with ordinality as n (id, patient, custodian, place)`);
}

/** Every tenth denies everybody, the others one hospital or one purpose. */
async function consents(db: Database, some: readonly { id: string; hospital: number }[], next: () => number): Promise<void> {
  const writer = consentWriter('+08:00');
  for (let hospital = 0; hospital < HOLDERS; hospital++) {
    const patients = some.filter((p) => p.hospital === hospital);
    const caller = { organizationId: hospitalId(hospital), role: 'hospital-system' } as WriteRequest['caller'];
    const requests = patients.map(({ id }) => ({ caller, resource: consentOf(id, next) })) as unknown as WriteRequest[];
    await db.transaction((tx) => writer.create(tx, requests));
  }
}

function consentOf(patient: string, next: () => number): FhirResource {
  const draw = next();
  const other = hospitalId(Math.floor(next() * HOLDERS));
  const limit =
    draw < 0.1
      ? {}
      : draw < 0.6
        ? {
            actor: [
              {
                role: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType', code: 'IRCP' }] },
                reference: { reference: `Organization/${other}` },
              },
            ],
          }
        : { purpose: [{ system: systems.actReason, code: 'HRESCH' }] };
  return {
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
    patient: { reference: `Patient/${patient}` },
    dateTime: '2026-01-01',
    policyRule: { coding: [{ system: systems.actCode, code: 'OPTIN' }] },
    provision: { type: 'deny', ...limit },
  };
}

async function inBatches<T>(
  items: readonly T[],
  size: number,
  what: string,
  log: (line: string) => void,
  work: (some: readonly T[]) => Promise<void>,
): Promise<void> {
  const every = Math.max(1, Math.ceil(items.length / size / 10));
  for (let i = 0; i < items.length; i += size) {
    await work(items.slice(i, i + size));
    if ((i / size) % every === 0) log(`${what}: ${Math.min(items.length, i + size)} of ${items.length}`);
  }
}
