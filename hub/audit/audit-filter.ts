import { type Caller, isAuditor, isHospitalAdministrator } from '../access/caller.js';
import { raw, type Sql, sql } from '../store/sql.js';
import type { AuditRow } from './rows.js';

/** The audit as one caller sees it: rows under alias `a`, and which of them. */
export interface AuditView {
  rows: Sql;
  filter: Sql;
}

/** All of it, as it was written. */
export const everything: AuditView = { rows: raw('audit_event a'), filter: raw('true') };

/**
 * Which rows of the audit (alias `a`) a caller reads: an auditor all; a patient what concerns her, whoever it was and whether or not he was let in;
 * a hospital's administrator what was done to his hospital's records or by its people. Anyone else none.
 * What was refused to his people as not existing looks to him, too, as if it did not exist, unless it is his own hospital's.
 * @param patientIds the caller's own Patient and those of her cross-reference cluster, and those of her wards; only looked at for a patient.
 */
export function auditView(caller: Caller, patientIds: readonly string[]): AuditView {
  if (isAuditor(caller)) return everything;
  if (caller.role === 'patient' && caller.purposeOfUse === 'PATRQT') {
    return { ...everything, filter: sql`a.patient_id = any(${patientIds.filter(Boolean)}::text[])` };
  }
  if (isHospitalAdministrator(caller)) {
    const organization = caller.organizationId;
    return {
      rows: asToldTo(organization),
      filter: sql`(a.custodian_id = ${organization} or a.organization_id = ${organization})`,
    };
  }
  return { ...everything, filter: raw('false') };
}

/** The rows with what a concealed one says of the record blanked, for all but its custodian; so no search by it finds the row either. */
function asToldTo(organizationId: string): Sql {
  const isHidden = sql`(e.concealed and e.custodian_id is distinct from ${organizationId})`;
  const unless = (column: string, otherwise: string): Sql =>
    sql`case when ${isHidden} then ${raw(otherwise)} else ${raw(`e.${column}`)} end as ${raw(column)}`;
  return sql`(
    select e.id, e.recorded, e.type, e.subtype, e.action, e.outcome, e.agent, e.agent_name, e.organization_id, e.role, e.purpose, e.client_id,
      e.entity, e.query, e.request_id, e.address, ${unless('patient_id', "''")}, ${unless('custodian_id', 'null')}, ${unless('basis', 'null')},
      ${unless('rule', 'null')}, ${unless('evidence', 'null')}, ${unless('policy_epoch', 'null')},
      ${unless('decided_on', 'null')}, ${unless('detail', "'not-found'")}
    from audit_event e where e.custodian_id = ${organizationId} or e.organization_id = ${organizationId}) a`;
}

/** A search as it was typed may name other patients: only auditors and the asking organization's own administrator see it. */
export function mayReadQuery(caller: Caller, row: Pick<AuditRow, 'organization_id'>): boolean {
  return isAuditor(caller) || (caller.role === 'hospital-administrator' && row.organization_id === caller.organizationId);
}
