import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** The Patients of one person: those that are linked with this one, and itself; itself alone when it is not linked. */
export async function clusterOf(tx: Queryable, patientId: string): Promise<string[]> {
  const rows = await tx.query<{ patient_id: string }>(sql`
    select mate.patient_id from cross_reference own join cross_reference mate using (cluster_id)
    where own.patient_id = ${patientId} order by mate.patient_id`);
  return rows.length > 0 ? rows.map((r) => r.patient_id) : [patientId];
}
