import { CANONICAL_BASE, systems } from '../../fhir-profiles/codes.js';
import type { Issue } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { storedForms } from '../store/patient-identifier.js';
import type { Protection, ValueHolder } from '../store/protection.js';
import type { FhirResource } from '../store/search-keys.js';
import { keyed, sql } from '../store/sql.js';
import { checkNationalIdentifier, normaliseNationalIdentifier } from './national-identifier.js';

/** A patient's key is (assigner's system, value), never a bare number. */
export interface PatientIdentifier {
  system: string;
  value: string;
  kind: 'hospital' | 'national' | 'other';
  /** Identifier.type: some types are encrypted whatever their system. */
  type?: ValueHolder['type'];
}

/** An identifier that one Patient holds at one custodian. */
export interface Held extends PatientIdentifier {
  patientId: string;
  custodianId: string;
}

/** System of Patients whose study came without a patient number: the value is `urn:oid:` and the Study Instance UID. */
export const PATIENT_OF_STUDY = `${CANONICAL_BASE}/NamingSystem/patient-of-study`;

/** Longest value that is taken as an identifier. */
export const LONGEST_VALUE = 256;

/** The system under which a custodian numbers its patients; one of the hub's own for a custodian that has named none. */
export async function assignerSystem(tx: Queryable, custodianId: string): Promise<string> {
  const [row] = await tx.query<{ assigner_system: string | null }>(
    sql`select assigner_system from organization where id = ${custodianId}`,
  );
  return row?.assigner_system ?? `${CANONICAL_BASE}/NamingSystem/patient-number/${custodianId}`;
}

/** What a Patient is found by. Identifiers without system or value, and old ones, find nobody. */
export function identifiersOf(patient: FhirResource, assigner: string): PatientIdentifier[] {
  const all = listed(patient)
    .filter((i) => i.system && i.value?.trim() && i.use !== 'old')
    .map(({ system = '', value = '', type }): PatientIdentifier => {
      const kind = system === systems.nationalIdentifier ? 'national' : system === assigner ? 'hospital' : 'other';
      return { system, value: kind === 'national' ? normaliseNationalIdentifier(value) : value.trim(), kind, type };
    });
  return [...new Map(all.map((i) => [`${i.system} ${i.value}`, i])).values()];
}

/** The national identifiers by which a Patient is found. */
export const nationalIdentifiersOf = (patient: FhirResource): string[] => [
  ...new Set(
    identifiersOf(patient, '')
      .filter((i) => i.kind === 'national')
      .map((i) => i.value),
  ),
];

/** Faults of a Patient's identifiers: a national identifier whose check digit or birth date does not hold, a value that is too long. */
export function identifierFaults(patient: FhirResource): Issue[] {
  return listed(patient).flatMap(({ system, value = '' }, i) => {
    const issue = (diagnostics: string): Issue => ({
      severity: 'error',
      code: 'value',
      diagnostics,
      expression: [`Patient.identifier[${i}].value`],
    });
    if (value.length > LONGEST_VALUE) return [issue(`An identifier has at most ${LONGEST_VALUE} characters.`)];
    const isWrong = system === systems.nationalIdentifier && value !== '' && !checkNationalIdentifier(value).valid;
    return isWrong ? [issue('The check digit or the birth date of the national identifier does not hold.')] : [];
  });
}

/**
 * Stores identifiers in one statement, protected ones as their blind index.
 * @returns those that another Patient of the same custodian holds, which were not stored.
 */
export async function claimIdentifiers(tx: Queryable, wanted: readonly Held[]): Promise<Held[]> {
  const ordered = [...wanted].sort((x, y) => (`${x.system} ${x.value}` < `${y.system} ${y.value}` ? -1 : 1));
  const stored = await tx.query<{ place: number }>(sql`
    with wanted as (
      select n.* from json_to_recordset(${keyed((p) => JSON.stringify(ordered.map((held, place) => heldRow(p, held, place))))}::json)
        as n (place integer, system text, value text, others text[], custodian_id text, patient_id text, kind text)
    ), claimed as (
      insert into patient_identifier (system, value, custodian_id, patient_id, kind)
      select n.system, n.value, n.custodian_id, n.patient_id, n.kind from wanted n
      where not exists (select from patient_identifier i where i.system = n.system and i.value = any(n.others) and i.custodian_id = n.custodian_id)
      order by n.place
      on conflict do nothing returning system, value, custodian_id, patient_id
    )
    select n.place from wanted n join claimed using (system, value, custodian_id, patient_id)`);
  const done = new Set(stored.map((s) => ordered[s.place]));
  // A number of another kind (an insurance, a household) may be shared; the first holder keeps the key.
  return wanted.filter((h) => h.kind !== 'other' && !done.has(h));
}

/** An identifier as stored; `others` are the forms that a key which is being replaced left. */
function heldRow(protection: Protection, held: Held, place: number): Record<string, unknown> {
  const [value, ...others] = storedForms(protection, held);
  return {
    place,
    system: held.system,
    value,
    others,
    custodian_id: held.custodianId,
    patient_id: held.patientId,
    kind: held.kind,
  };
}

function listed(patient: FhirResource): { system?: string; value?: string; use?: string; type?: ValueHolder['type'] }[] {
  return patient.identifier ?? [];
}
