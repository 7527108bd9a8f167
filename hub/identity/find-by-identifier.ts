import { systems } from '../../fhir-profiles/codes.js';
import type { Queryable } from '../store/database.js';
import { identifierIs } from '../store/patient-identifier.js';
import { sql } from '../store/sql.js';
import { normaliseNationalIdentifier } from './national-identifier.js';

/** More Patients than this under one identifier: it is no one person's. */
const MOST = 20;

/**
 * Ids of the Patients registered under exactly this identifier of a hospital's or of the nation, whoever holds them. Numbers of another kind
 * (an insurance, a household) may be shared and find nobody. No policy is applied here.
 */
export async function findByIdentifier(tx: Queryable, { system, value }: { system: string; value: string }): Promise<string[]> {
  const number = system === systems.nationalIdentifier ? normaliseNationalIdentifier(value) : value.trim();
  const rows = await tx.query<{ patient_id: string }>(sql`
    select distinct i.patient_id from patient_identifier i
    where ${identifierIs('i', { system, value: number })} and i.kind in ('hospital', 'national') order by i.patient_id limit ${MOST + 1}`);
  return rows.length > MOST ? [] : rows.map((row) => row.patient_id);
}
