import { CANONICAL_BASE, systems } from '../../fhir-profiles/codes.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** A patient's key is (assigner's system, value), never a bare number. */
export interface PatientIdentifier {
  system: string;
  value: string;
  kind: 'hospital' | 'national' | 'other';
}

/** System of Patients whose study came without a patient number: the value is `urn:oid:` and the Study Instance UID. */
export const PATIENT_OF_STUDY = `${CANONICAL_BASE}/NamingSystem/patient-of-study`;

/** The system under which a custodian numbers its patients; one of the hub's own for a custodian that has named none. */
export async function assignerSystem(tx: Queryable, custodianId: string): Promise<string> {
  const [row] = await tx.query<{ assigner_system: string | null }>(
    sql`select assigner_system from organization where id = ${custodianId}`,
  );
  return row?.assigner_system ?? `${CANONICAL_BASE}/NamingSystem/patient-number/${custodianId}`;
}

/** The kind of an identifier at a custodian with this assigner system. */
export function kindOf(system: string, assigner: string): PatientIdentifier['kind'] {
  if (system === systems.nationalIdentifier) return 'national';
  return system === assigner ? 'hospital' : 'other';
}
