import { clusterOf } from '../identity/cluster.js';
import { assignerSystem } from '../identity/identifiers.js';
import type { Queryable } from '../store/database.js';
import { columns, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';

/** A hospital's own registration of a person, by which copies are filed there. */
export interface LocalPatient {
  patient: FhirResource & { id: string };
  /** The hospital's number of her. */
  number: string;
}

/** Why there is no one number: in words for the physician, without patient data. */
export type NoLocalPatient = { why: string };

/** Longest Patient ID (0010,0020), VR LO. */
const LONGEST_NUMBER = 64;

/**
 * The hospital's own Patient of a person, by the links between Patients as they stand.
 * @param chosen a Patient of the hospital that is named, where several are linked.
 */
export async function localPatient(
  tx: Queryable,
  organizationId: string,
  patientId: string,
  chosen?: string,
): Promise<LocalPatient | NoLocalPatient> {
  const assigner = await assignerSystem(tx, organizationId);
  const own = await ownPatients(tx, organizationId, await clusterOf(tx, patientId), false);
  const numbered = own.flatMap((row) =>
    numbersOf(toResource(row), assigner).map((number) => ({ patient: toResource(row), number })),
  );
  const named = numbered.filter(({ patient }) => patient.id === chosen);
  const found = named.length > 0 ? named : numbered;
  if (found.length === 0)
    return { why: 'The patient is not known to be registered at your hospital: no Patient of yours is linked.' };
  if (found.length > 1) return { why: 'The patient has several numbers at your hospital: name one Patient of yours.' };
  const [one] = found;
  if (!one || one.number.length > LONGEST_NUMBER || /[\\\p{Cc}]/u.test(one.number))
    return { why: 'The patient’s number at your hospital can not be written into DICOM objects.' };
  return one;
}

/** All numbers, old ones too, under which a hospital may have filed what it has of a person. */
export async function numbersAt(tx: Queryable, organizationId: string, patientId: string): Promise<string[]> {
  const assigner = await assignerSystem(tx, organizationId);
  const own = await ownPatients(tx, organizationId, await clusterOf(tx, patientId), true);
  return [...new Set(own.flatMap((row) => numbersOf(toResource(row), assigner, true)))];
}

/** @param withMerged those whose number was merged into another one, too. */
function ownPatients(
  tx: Queryable,
  organizationId: string,
  cluster: readonly string[],
  withMerged: boolean,
): Promise<ResourceRow[]> {
  return tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r where r.type = 'Patient' and r.id = any(${[...cluster]}::text[]) and r.custodian_id = ${organizationId} and not r.deleted
      and (${withMerged} or not exists (select from patient_merge m where m.retired_id = r.id))
    order by r.id`);
}

function numbersOf(patient: FhirResource, assigner: string, withOld = false): string[] {
  const identifiers: { system?: string; value?: string; use?: string }[] = patient.identifier ?? [];
  const ofHospital = identifiers.filter((i) => i.system === assigner && i.value?.trim() && (withOld || i.use !== 'old'));
  return [...new Set(ofHospital.map(({ value = '' }) => value.trim()))];
}
