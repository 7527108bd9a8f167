import type { PatientDescription } from '../../connectors/connector.js';
import { identifierTypes, systems } from '../../fhir-profiles/codes.js';
import { refreshRegistrations } from '../access/policy/registrations.js';
import type { Queryable } from '../store/database.js';
import { storedForms } from '../store/patient-identifier.js';
import {
  columns,
  createResources,
  findResource,
  newId,
  type ResourceRow,
  toResource,
  updateResource,
} from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { keyed, sql } from '../store/sql.js';
import { contradiction, demographicsOfDescription, demographicsOfRow } from './demographics.js';
import { assignerSystem, LONGEST_VALUE, PATIENT_OF_STUDY, type PatientIdentifier } from './identifiers.js';
import { lockForMatching, matchPatients } from './match-patients.js';
import { type HumanName, humanNames, nameForms } from './person-name.js';

/** Meta.source of Patients that the hub made from the Patient module of a study: a hospital's own registration replaces them. */
export const FROM_STUDY = 'urn:dicom:patient-module';

export interface StudyPatient {
  custodianId: string;
  patient: PatientDescription;
  studyInstanceUid: string;
}

/**
 * The custodian's own Patient of a study, by (assigner, Patient ID); made when there is none. Without a Patient ID the Patient is the
 * study's alone, so that nothing is lost and nobody is joined. What the record did not say yet is filled in. To be called in the transaction
 * that stores the study; safe in parallel.
 * @returns `conflict`, in words without patient data, when the number is held by somebody else by name, birth date or sex.
 */
export async function ensureCustodianPatient(
  tx: Queryable,
  of: StudyPatient,
): Promise<{ patientId: string } | { conflict: string }> {
  const identifier = await identifierOf(tx, of);
  if (!isUsable(identifier)) return UNUSABLE;
  const known = await holderOf(tx, of.custodianId, identifier);
  if (known) return agree(tx, known, of.patient);
  const made = await enter(tx, of.custodianId, identifier, of.patient);
  return made ?? agree(tx, (await holderOf(tx, of.custodianId, identifier))!, of.patient);
}

/** The Patient who holds a number of the hospital, given up or not; entered with the number alone when there is none. */
export async function ensureNumber(
  tx: Queryable,
  custodianId: string,
  value: string,
): Promise<{ patientId: string } | { conflict: string }> {
  const identifier = { system: await assignerSystem(tx, custodianId), value: value.trim(), kind: 'hospital' as const };
  if (!isUsable(identifier)) return UNUSABLE;
  const held = async () => (await holderOf(tx, custodianId, identifier))?.id;
  const id = (await held()) ?? (await enter(tx, custodianId, identifier, {}))?.patientId ?? (await held());
  return id === undefined ? UNUSABLE : { patientId: id };
}

const UNUSABLE = { conflict: 'The Patient ID is no usable number.' };

const isUsable = ({ value }: PatientIdentifier): boolean => value.length <= LONGEST_VALUE && !/\p{Cc}/u.test(value);

/** A new Patient under a number; undefined when somebody else entered it meanwhile. */
async function enter(
  tx: Queryable,
  custodianId: string,
  identifier: PatientIdentifier,
  patient: PatientDescription,
): Promise<{ patientId: string } | undefined> {
  await lockForMatching(tx, [identifier.value], [demographicsOfDescription(patient)]);
  const patientId = newId();
  const claimed = await tx.query(sql`
    insert into patient_identifier (system, value, custodian_id, patient_id, kind)
    values (${identifier.system}, ${keyed((p) => storedForms(p, identifier)[0])}, ${custodianId}, ${patientId}, ${identifier.kind}) on conflict do nothing returning 1`);
  if (claimed.length === 0) return undefined;
  const resource = patientResource(patientId, identifier, patient);
  const rows = await createResources(tx, [{ resource, custodianId }]);
  await refreshRegistrations(tx, [patientId]);
  await matchPatients(tx, rows);
  return { patientId };
}

async function identifierOf(tx: Queryable, { custodianId, patient, studyInstanceUid }: StudyPatient): Promise<PatientIdentifier> {
  const value = patient.patientId?.trim();
  if (!value) return { system: PATIENT_OF_STUDY, value: `urn:oid:${studyInstanceUid}`, kind: 'other' };
  return { system: await assignerSystem(tx, custodianId), value, kind: 'hospital' };
}

/** Who holds a number, and for whom he was given up, if he was. */
type Holder = ResourceRow & { survivor_id: string | null };

async function holderOf(tx: Queryable, custodianId: string, identifier: PatientIdentifier): Promise<Holder | undefined> {
  const [row] = await tx.query<Holder & Record<string, unknown>>(sql`
    select ${columns}, (select m.survivor_id from patient_merge m where m.retired_id = r.id) as survivor_id
    from patient_identifier i join resource r on r.type = 'Patient' and r.id = i.patient_id
    where i.system = ${identifier.system} and i.value = any(${keyed((p) => storedForms(p, identifier))}::text[]) and i.custodian_id = ${custodianId}`);
  return row;
}

/** The record as known, with what the study adds to it; a study that says otherwise is a conflict. */
async function agree(
  tx: Queryable,
  known: Holder,
  patient: PatientDescription,
): Promise<{ patientId: string } | { conflict: string }> {
  const against = contradiction(demographicsOfRow(known), demographicsOfDescription(patient));
  if (known.survivor_id !== null) return ofSurvivor(tx, known.survivor_id, patient, against);
  if (against) return { conflict: `The patient number is held with another ${against}.` };
  if (!learned(toResource(known), patient)) return { patientId: known.id };
  await lockForMatching(tx, [], [demographicsOfDescription(patient), demographicsOfRow(known)]);
  const [current] = await tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource r where r.type = 'Patient' and r.id = ${known.id} for update`,
  );
  const next = current && learned(toResource(current), patient);
  if (!next) return { patientId: known.id };
  const row = await updateResource(tx, { resource: next, custodianId: current.custodian_id }, current.version);
  await matchPatients(tx, [row]);
  return { patientId: known.id };
}

/** Images keep the number that was given up, with what was known of its patient then: they are the survivor's, and change nothing of him. */
async function ofSurvivor(
  tx: Queryable,
  survivorId: string,
  patient: PatientDescription,
  againstRetired: string | undefined,
): Promise<{ patientId: string } | { conflict: string }> {
  const survivor = await findResource(tx, 'Patient', survivorId);
  const against = survivor && contradiction(demographicsOfRow(survivor), demographicsOfDescription(patient));
  if (againstRetired && against) return { conflict: `The patient number is held with another ${against}.` };
  return { patientId: survivorId };
}

/** The record with what it did not say before; undefined when the study adds nothing. */
function learned(known: FhirResource & { id: string }, patient: PatientDescription): (FhirResource & { id: string }) | undefined {
  const { characters, letters } = nameForms(known.name);
  const names = humanNames(patient.name ?? '').filter((name) => {
    const form = nameForms([name]);
    return (form.characters.length > 0 && characters.length === 0) || (form.letters.length > 0 && letters.length === 0);
  });
  const additions = {
    ...(names.length > 0 ? { name: [...(known.name ?? []), ...names] as HumanName[] } : {}),
    ...(!known.birthDate && patient.birthDate ? { birthDate: patient.birthDate } : {}),
    ...(isUnknown(known.gender) && !isUnknown(patient.sex) ? { gender: patient.sex } : {}),
  };
  return Object.keys(additions).length > 0 ? { ...known, ...additions } : undefined;
}

const isUnknown = (sex: string | undefined): boolean => sex === undefined || sex === 'unknown';

function patientResource(id: string, { system, value, kind }: PatientIdentifier, patient: PatientDescription): FhirResource {
  const name = humanNames((patient.name ?? '').replace(/\p{Cc}/gu, ''));
  return {
    resourceType: 'Patient',
    id,
    meta: { source: FROM_STUDY },
    identifier: [kind === 'hospital' ? patientNumber(system, value) : { system, value }],
    ...(name.length > 0 ? { name } : {}),
    ...(patient.birthDate ? { birthDate: patient.birthDate } : {}),
    ...(patient.sex ? { gender: patient.sex } : {}),
  };
}

/** FHIR Identifier of a hospital's own number. */
export const patientNumber = (system: string, value: string) => ({
  type: { coding: [{ system: systems.identifierType, code: identifierTypes.medicalRecordNumber }] },
  system,
  value,
});
