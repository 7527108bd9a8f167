import type { Queryable } from '../../store/database.js';
import { enqueue } from '../../store/outbox.js';
import type { ResourceRow } from '../../store/resources.js';
import { sql } from '../../store/sql.js';

/**
 * Tells the organizations that were given a study, or take part in an open referral about it, what became of it. The notice names the study and its
 * custodian, and nothing of its content.
 */
export async function tellParties(
  tx: Queryable,
  study: ResourceRow,
  topic: 'study-removed' | 'study-moved',
  patientId = study.patient_id,
): Promise<void> {
  const named = `ImagingStudy/${study.id}`;
  const parties = await tx.query<{ id: string }>(sql`
    select recipient_id as id from access_grant
    where patient_id = ${patientId} and ${named} = any(resources) and ended_at is null and now() < valid_until
    union
    select unnest(r.parties) from resource r
    where r.type = 'Task' and r.patient_id = ${patientId} and ${named} = any(r.refers) and not r.deleted
      and r.content ->> 'status' not in ('completed', 'cancelled', 'rejected', 'failed', 'entered-in-error')`);
  for (const { id } of parties) {
    if (id === '' || id === study.custodian_id) continue;
    await enqueue(tx, { topic, organizationId: id, payload: { study: named, custodian: `Organization/${study.custodian_id}` } });
  }
}
