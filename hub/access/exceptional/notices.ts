import type { Queryable } from '../../store/database.js';
import { enqueue } from '../../store/outbox.js';
import type { ExceptionalAccess } from './exceptional-access.js';

/**
 * Tells each custodian of a Patient that is opened, who tells the patient, and the organization of the person who was let in. The notice names
 * the custodian's own Patients and nobody else's.
 */
export async function tellOfAccess(
  tx: Queryable,
  access: ExceptionalAccess,
  topic: string,
  more: Record<string, unknown> = {},
): Promise<void> {
  const organizations = new Set([access.organization_id, ...access.patients.map((p) => p.custodian_id)]);
  for (const organizationId of organizations) {
    const own = access.patients.filter((p) => p.custodian_id === organizationId);
    await enqueue(tx, {
      topic,
      organizationId,
      payload: {
        access: access.id,
        patient: own.map((p) => `Patient/${p.patient_id}`),
        agent: access.agent,
        organization: `Organization/${access.organization_id}`,
        reason: access.reason,
        until: access.valid_until.toISOString(),
        ...(access.case_number === null ? {} : { caseNumber: access.case_number }),
        ...more,
      },
    });
  }
}
