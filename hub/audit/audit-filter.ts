import type { Caller } from '../access/caller.js';
import { raw, type Sql, sql } from '../store/sql.js';
import type { AuditRow } from './rows.js';

/**
 * Which rows of the audit (alias `a`) a caller reads: an auditor all; a patient what concerns her, whoever it was and whether or not he was let in;
 * a hospital's administrator what was done to his hospital's records or by its people. Anyone else none.
 * @param patientIds the caller's own Patient and those of her cross-reference cluster; only looked at for a patient.
 */
export function auditFilter(caller: Caller, patientIds: readonly string[]): Sql {
  if (readsAll(caller)) return raw('true');
  if (caller.role === 'patient' && caller.purposeOfUse === 'PATRQT') {
    return sql`a.patient_id = any(${patientIds.filter(Boolean)}::text[])`;
  }
  if (caller.role === 'hospital-administrator' && caller.purposeOfUse === 'HOPERAT' && caller.organizationId) {
    return sql`(a.custodian_id = ${caller.organizationId} or a.organization_id = ${caller.organizationId})`;
  }
  return raw('false');
}

/** A search as it was typed may name other patients: only auditors and the asking organization's own administrator see it. */
export function mayReadQuery(caller: Caller, row: Pick<AuditRow, 'organization_id'>): boolean {
  return readsAll(caller) || (caller.role === 'hospital-administrator' && row.organization_id === caller.organizationId);
}

const readsAll = (caller: Caller): boolean => caller.role === 'auditor' && caller.purposeOfUse === 'HCOMPL';
