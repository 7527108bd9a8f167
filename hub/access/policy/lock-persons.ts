import type { Queryable } from '../../store/database.js';
import { matesOf } from '../../store/cluster.sql.js';
import { sql } from '../../store/sql.js';

/**
 * Locks the Patients of these persons until the transaction ends: consents, links and registrations of one person follow each other, so that
 * neither a consent misses a new link nor a link a new consent.
 * @returns the Patients named and those linked with them, as they are once the locks are held.
 */
export async function lockPersons(tx: Queryable, patientIds: readonly string[]): Promise<string[]> {
  let locked: string[] = [];
  for (;;) {
    const persons = await patientsOf(tx, patientIds);
    if (persons.every((id) => locked.includes(id))) return persons;
    await tx.query(sql`select from resource where type = 'Patient' and id = any(${persons}::text[]) order by id for update`);
    locked = persons;
  }
}

async function patientsOf(tx: Queryable, patientIds: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(sql`
    select unnest(${patientIds}::text[]) as id
    union
    ${matesOf(sql`= any(${patientIds}::text[])`)}`);
  return rows.map((row) => row.id);
}
