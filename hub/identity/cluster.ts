import type { Queryable } from '../store/database.js';
import { matesOf } from '../store/cluster.sql.js';
import { sql } from '../store/sql.js';

/** The Patients of one person: those that are linked with this one, and itself; itself alone when it is not linked. */
export async function clusterOf(tx: Queryable, patientId: string): Promise<string[]> {
  const rows = await tx.query<{ patient_id: string }>(sql`
    ${matesOf(sql`= ${patientId}`)} order by mate.patient_id`);
  return rows.length > 0 ? rows.map((r) => r.patient_id) : [patientId];
}
