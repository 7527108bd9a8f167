import type { Queryable } from '../store/database.js';
import { newId } from '../store/resources.js';
import { matesOf } from '../store/cluster.sql.js';
import { raw, sql } from '../store/sql.js';

/** What an acceptance opens: exactly these records, to this organization (or this practitioner of it), until an instant. */
export interface Grant {
  taskId: string;
  custodianId: string;
  recipientId: string;
  practitionerId?: string;
  /** Patient that the custodian has the records under. */
  patientId: string;
  /** `Type/id` of the records. */
  resources: string[];
  validUntil: Date;
  /** Who discloses: the namespaced id of a person, or the organization that attached the studies. */
  grantedBy: string;
}

/** Valid from the transaction's instant. */
export async function mintGrants(tx: Queryable, grants: readonly Grant[]): Promise<void> {
  for (const g of grants) {
    await tx.query(sql`
      insert into access_grant (id, task_id, custodian_id, recipient_id, practitioner_id, patient_id, resources, valid_from, valid_until, granted_by)
      values (${newId()}, ${g.taskId}, ${g.custodianId}, ${g.recipientId}, ${g.practitionerId ?? null}, ${g.patientId}, ${g.resources}, now(), ${g.validUntil}, ${g.grantedBy})`);
  }
}

/** Ends what a Task opened; a grant that has ended stays as it ended. */
export async function endGrants(tx: Queryable, taskId: string, because: string): Promise<void> {
  await tx.query(
    sql`update access_grant set ended_at = now(), ended_because = ${because} where task_id = ${taskId} and ended_at is null`,
  );
}

/** The consultation by which a performer may write about another hospital's patient. */
export interface OpenConsultation {
  task_id: string;
  /** The organization that asked. */
  requester_id: string;
}

/** An accepted consultation, not over, that gave this organization (or practitioner) the patient and all of these records. */
export async function findOpenConsultation(
  tx: Queryable,
  recipient: { organizationId: string; practitionerId?: string },
  patientId: string,
  records: readonly string[],
): Promise<OpenConsultation | undefined> {
  const [row] = await tx.query<OpenConsultation & Record<string, unknown>>(sql`
    select task_id, custodian_id as requester_id from access_grant
    where recipient_id = ${recipient.organizationId} and patient_id = ${patientId}
      and (practitioner_id is null or practitioner_id = ${recipient.practitionerId ?? null})
      and resources @> ${[`Patient/${patientId}`, ...records]}::text[]
      and ended_at is null and valid_from <= now() and now() < valid_until
    order by valid_from desc limit 1`);
  return row;
}

/**
 * Tasks whose released study is no longer known to be of a patient of the organization that asked for it: after an unlink the
 * patient that it treats may be somebody else. Consultations rest on the requester's own Patient record and are not touched.
 */
export async function findUnfoundedReleases(tx: Queryable, patientIds: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ task_id: string }>(sql`
    select distinct g.task_id from access_grant g
    where g.ended_at is null and now() < g.valid_until and not ('Patient/' || g.patient_id = any (g.resources))
      and (g.patient_id = any (${patientIds}::text[]) or g.recipient_id in (select organization_id from patient_registration where patient_id = any (${patientIds}::text[])))
      and not exists (
        select from patient_registration p
        where p.organization_id = g.recipient_id
          and (p.patient_id = g.patient_id or p.patient_id in (
            ${matesOf(raw('= g.patient_id'))})))`);
  return rows.map((r) => r.task_id);
}
