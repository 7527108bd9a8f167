import type { Caller } from '../../access/caller.js';
import type { ExceptionalAccess } from '../../access/exceptional/exceptional-access.js';
import { patientsFor } from '../../access/exceptional/view.js';
import type { components } from '../openapi.generated.js';

/** An access as a caller sees it. @param patientIds the Patients of a caller who is one */
export function toItem(
  access: ExceptionalAccess,
  caller: Caller,
  patientIds: readonly string[] = [],
): components['schemas']['ExceptionalAccess'] {
  return {
    id: access.id,
    kind: access.kind,
    agent: access.agent,
    name: access.agent_name,
    organization: access.organization_id,
    reason: access.reason,
    statement: access.statement,
    openedAt: access.opened_at.toISOString(),
    until: access.valid_until.toISOString(),
    state: access.state,
    ...(access.case_number === null ? {} : { caseNumber: access.case_number }),
    ...(access.confirmed_by ? { confirmedBy: access.confirmed_by } : {}),
    ...(access.ended_at ? { endedAt: access.ended_at.toISOString() } : {}),
    ...(access.review ? { review: access.review } : {}),
    ...(access.review_due ? { reviewDue: access.review_due.toISOString() } : {}),
    ...(access.reviewed_by ? { reviewedBy: access.reviewed_by } : {}),
    ...(access.review_comment ? { reviewComment: access.review_comment } : {}),
    ...(access.suspended_until ? { suspendedUntil: access.suspended_until.toISOString() } : {}),
    patients: patientsFor(access, caller, patientIds).map((p) => ({
      patient: `Patient/${p.patient_id}`,
      custodian: p.custodian_id,
      named: p.named,
      ...(p.flagged_by ? { flaggedBy: p.flagged_by } : {}),
      ...(p.flag_comment ? { flagComment: p.flag_comment } : {}),
    })),
  };
}
