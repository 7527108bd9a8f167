import { systems } from '../../fhir-profiles/codes.js';
import { refreshRegistrations } from '../access/policy/registrations.js';
import { agentOf, type ResourceWriter, type WriteRequest } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { conflict, forbidden, unprocessable } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { identifierIs, storedForms } from '../store/patient-identifier.js';
import { columns, createResources, newId, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { keyed, or, sql } from '../store/sql.js';
import { FROM_STUDY } from './custodian-patient.js';
import { contradiction, demographicsOf, demographicsOfRow } from './demographics.js';
import {
  assignerSystem,
  claimIdentifiers,
  type Held,
  identifierFaults,
  identifiersOf,
  nationalIdentifiersOf,
} from './identifiers.js';
import { mergedInto, retiredAmong } from './merges.sql.js';
import { pairOf, type Pair, type ReevaluateGrants, unlink } from './links.js';
import { lockForMatching, matchPatients } from './match-patients.js';

export interface PatientWriterDeps {
  audit: Audit;
  /** Takes back what rested on a link that an update of an identifier ends. */
  reevaluateGrants: ReevaluateGrants;
}

type Patient = FhirResource & { id: string };

/**
 * Writer for Patient: a hospital's own registrations. Its number for the patient is unique in the hospital; a Patient that was made from
 * images under this number, and that nothing contradicts, becomes the one that is registered. Then persons are matched across hospitals.
 */
export function patientWriter(deps: PatientWriterDeps): ResourceWriter {
  return { create: (tx, requests) => create(deps, tx, requests), update: (tx, request) => update(deps, tx, request) };
}

async function create(deps: PatientWriterDeps, tx: Queryable, requests: readonly WriteRequest[]): Promise<ResourceRow[]> {
  const [first] = requests;
  if (!first) return [];
  const custodianId = custodianOf(first);
  const patients = requests.map(({ resource }) => registered(resource, resource.id ?? newId()));
  assertIdentifiers(patients);
  const assigner = await assignerSystem(tx, custodianId);
  const wanted = patients.flatMap((p) => heldBy(p, custodianId, assigner));
  await lockForMatching(tx, numbersOf(wanted), patients.map(demographicsOf));
  const merges = await mergesOf(tx, patients, await claimIdentifiers(tx, wanted));
  const fresh = patients.filter((p) => !merges.has(p.id));
  const created = await createResources(
    tx,
    fresh.map((resource) => ({ resource, custodianId })),
  );
  const byId = new Map(created.map((row) => [row.id, row]));
  for (const [id, { patient, holder }] of merges) byId.set(id, await mergeInto(tx, patient, holder));
  const rows = patients.map((p) => byId.get(p.id)!);
  await settle(deps, tx, first, rows);
  return rows;
}

async function update(
  deps: PatientWriterDeps,
  tx: Queryable,
  request: WriteRequest & { current: ResourceRow },
): Promise<ResourceRow> {
  custodianOf(request);
  const { current } = request;
  const custodianId = current.custodian_id;
  const patient = registered(request.resource, current.id);
  assertIdentifiers([patient]);
  const wanted = heldBy(patient, custodianId, await assignerSystem(tx, custodianId));
  await lockForMatching(tx, numbersOf(wanted), [demographicsOf(patient), demographicsOfRow(current)]);
  await assertStands(tx, current.id);
  await takeOver(tx, current.id, wanted);
  await tx.query(sql`delete from patient_identifier where patient_id = ${current.id}`);
  if ((await claimIdentifiers(tx, wanted)).length > 0) throw taken();
  const row = await updateResource(tx, { resource: patient, custodianId }, current.version);
  await withdrawUnfounded(deps, tx, request, row);
  await settle(deps, tx, request, [row]);
  return row;
}

/** @throws Refusal 409 for a Patient who was given up: a late registration does not bring her back. */
async function assertStands(tx: Queryable, patientId: string): Promise<void> {
  const retired = (await retiredAmong(tx, [patientId])).get(patientId);
  if (retired) throw conflict(`The Patient was given up for Patient/${retired.survivor_id}.`, 'Patient.link');
}

/** What a person's number that was merged bore beside itself (a national identifier, say) is the survivor's once he states it. */
async function takeOver(tx: Queryable, survivorId: string, wanted: readonly Held[]): Promise<void> {
  const others = wanted.filter((h) => h.kind !== 'hospital');
  const merged = others.length > 0 ? await mergedInto(tx, survivorId) : [];
  if (merged.length === 0) return;
  await tx.query(sql`
    delete from patient_identifier i where i.patient_id = any(${merged}::text[]) and i.kind <> 'hospital' and ${or(others.map((n) => identifierIs('i', n)))}`);
}

/** @throws Refusal 403 for a caller who is no organization's. */
function custodianOf({ caller }: WriteRequest): string {
  if (caller.organizationId === '') throw forbidden('A Patient is registered by a hospital.');
  return caller.organizationId;
}

/** The Patient under its id, without the mark of those that the hub made itself. */
function registered(resource: FhirResource, id: string): Patient {
  const { source, ...meta } = resource.meta ?? {};
  return { ...resource, id, meta: source && source !== FROM_STUDY ? { ...meta, source } : meta };
}

function assertIdentifiers(patients: readonly Patient[]): void {
  const faults = patients.flatMap(identifierFaults);
  if (faults.length > 0) throw unprocessable(faults.slice(0, 20));
}

const heldBy = (patient: Patient, custodianId: string, assigner: string): Held[] =>
  identifiersOf(patient, assigner).map((identifier) => ({ ...identifier, patientId: patient.id, custodianId }));

const numbersOf = (held: readonly Held[]): string[] => held.filter((h) => h.kind !== 'other').map((h) => h.value);

const taken = () => conflict('Another Patient of this hospital has this identifier.', 'Patient.identifier');

type Merges = Map<string, { patient: Patient; holder: ResourceRow }>;

/** For each Patient whose number is held: the Patient made from images that it is the registration of. @throws Refusal 409 when it is not. */
async function mergesOf(tx: Queryable, patients: readonly Patient[], held: readonly Held[]): Promise<Merges> {
  const merges: Merges = new Map();
  if (held.length === 0) return merges;
  if (held.some((h) => h.kind !== 'hospital')) throw taken();
  const holders = await lockHolders(tx, held);
  const merged = new Set<string>();
  for (const number of held) {
    const { patientId } = number;
    const patient = patients.find((p) => p.id === patientId)!;
    const holder = holders.get(keyOf(number));
    const isNew = holder && !merged.has(holder.id) && !merges.has(patientId);
    if (!isNew || !isFromStudy(holder) || contradiction(demographicsOf(patient), demographicsOfRow(holder))) throw taken();
    merges.set(patientId, { patient, holder });
    merged.add(holder.id);
  }
  return merges;
}

async function lockHolders(tx: Queryable, held: readonly Held[]): Promise<Map<string, ResourceRow>> {
  const wanted = keyed((p) =>
    JSON.stringify(held.map((h, place) => ({ place, system: h.system, forms: storedForms(p, h), custodian_id: h.custodianId }))),
  );
  const rows = await tx.query<ResourceRow & { place: number; [column: string]: unknown }>(sql`
    select ${columns}, n.place
    from json_to_recordset(${wanted}::json) as n (place integer, system text, forms text[], custodian_id text)
      join patient_identifier i on i.system = n.system and i.value = any(n.forms) and i.custodian_id = n.custodian_id
      join resource r on r.type = 'Patient' and r.id = i.patient_id
    order by r.id for update of r`);
  return new Map(rows.map((row) => [keyOf(held[row.place] as Held), row]));
}

const keyOf = ({ system, value }: Held): string => `${system} ${value}`;

const isFromStudy = (row: ResourceRow): boolean => toResource(row).meta?.source === FROM_STUDY;

/** The registration becomes the next version of the Patient that its images are filed under; what only the images said stays. */
async function mergeInto(tx: Queryable, patient: Patient, holder: ResourceRow): Promise<ResourceRow> {
  await tx.query(sql`update patient_identifier set patient_id = ${holder.id} where patient_id = ${patient.id}`);
  const { name, birthDate, gender } = toResource(holder);
  const known = { ...(name ? { name } : {}), ...(birthDate ? { birthDate } : {}), ...(gender ? { gender } : {}) };
  return updateResource(
    tx,
    { resource: { ...known, ...patient, id: holder.id }, custodianId: holder.custodian_id },
    holder.version,
  );
}

async function settle(
  deps: PatientWriterDeps,
  tx: Queryable,
  request: WriteRequest,
  rows: readonly ResourceRow[],
): Promise<void> {
  await refreshRegistrations(
    tx,
    rows.map((row) => row.id),
  );
  const linked = await matchPatients(tx, rows);
  await deps.audit.append(tx, await linkEntries(tx, request, 'link', linked));
}

/** Links that a national identifier made end when the two no longer share one: a steward sees them as proposals. */
async function withdrawUnfounded(deps: PatientWriterDeps, tx: Queryable, request: WriteRequest, row: ResourceRow): Promise<void> {
  const national = nationalIdentifiersOf(toResource(row)).map((value) => ({ system: systems.nationalIdentifier, value }));
  // what a number that was merged was linked by holds until the survivor bears another identifier
  const merged = national.length > 0 ? await mergedInto(tx, row.id) : [];
  for (const id of [row.id, ...merged]) await withdrawOf(deps, tx, request, id, national);
}

async function withdrawOf(
  deps: PatientWriterDeps,
  tx: Queryable,
  request: WriteRequest,
  id: string,
  national: readonly { system: string; value: string }[],
): Promise<void> {
  const pairs = await tx.query<{ other: string }>(sql`
    select mate.id as other from link_decision d
      cross join lateral (select case d.patient_a when ${id} then d.patient_b else d.patient_a end as id) mate
    where (d.patient_a = ${id} or d.patient_b = ${id}) and d.state = 'linked' and d.decided_by = 'Device/hub' and d.custodian_a <> d.custodian_b
      and not exists (select from patient_identifier i
        where i.patient_id = mate.id and i.kind = 'national' and ${or(national.map((n) => identifierIs('i', n)))})`);
  for (const { other } of pairs) {
    const pair = pairOf(id, other);
    await unlink(tx, pair, 'Device/hub', deps.reevaluateGrants, 'proposed');
    await deps.audit.append(tx, await linkEntries(tx, request, 'unlink', [pair]));
  }
}

/** One entry for each of the two Patients of a pair: what a registration caused, under the name of who wrote it. */
async function linkEntries(
  tx: Queryable,
  { caller, context }: WriteRequest,
  subtype: 'link' | 'unlink',
  pairs: readonly Pair[],
): Promise<AuditEntry[]> {
  if (pairs.length === 0) return [];
  const ids = pairs.flatMap(({ a, b }) => [a, b]);
  const rows = await tx.query<{ id: string; custodian_id: string }>(
    sql`select id, custodian_id from resource where type = 'Patient' and id = any(${ids}::text[])`,
  );
  const custodians = new Map(rows.map((row) => [row.id, row.custodian_id]));
  return pairs.flatMap(({ a, b }) =>
    [a, b].map((patientId) => ({
      ...agentOf(caller, context),
      type: 'identity',
      subtype,
      action: 'U',
      outcome: 0,
      patientId,
      custodianId: custodians.get(patientId),
      entity: [`Patient/${a}`, `Patient/${b}`],
      basis: 'national-identifier',
    })),
  );
}
