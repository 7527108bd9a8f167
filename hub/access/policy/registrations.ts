import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { lockPersons } from './lock-persons.js';

/**
 * Recomputes with which organizations the patients are registered: an organization that has a Patient in a patient's cross-reference cluster
 * treats that person. To be called in the transaction that creates a Patient, links or unlinks, after the cross-reference was changed.
 * @param patientIds every Patient whose cluster changed, on both sides.
 */
export async function refreshRegistrations(tx: Queryable, patientIds: readonly string[]): Promise<void> {
  if (patientIds.length === 0) return;
  const persons = await lockPersons(tx, patientIds);
  await tx.query(sql`delete from patient_registration where patient_id = any(${persons}::text[])`);
  await tx.query(sql`
    insert into patient_registration (organization_id, patient_id, own)
    select p.custodian_id, c.patient_id, bool_or(p.id = c.patient_id)
    from (
      select named.id as patient_id, coalesce(mate.patient_id, named.id) as mate_id
      from unnest(${persons}::text[]) as named (id)
      left join cross_reference own on own.patient_id = named.id
      left join cross_reference mate on mate.cluster_id = own.cluster_id
    ) c
    join resource p on p.type = 'Patient' and p.patient_id = c.mate_id and p.id = c.mate_id and not p.deleted
    where p.custodian_id <> ''
    group by p.custodian_id, c.patient_id`);
}
