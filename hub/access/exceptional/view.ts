import { or, raw, type Sql, sql } from '../../store/sql.js';
import { type Caller, isAuditor, isHospitalAdministrator } from '../caller.js';
import type { ExceptionalAccess, OpenedPatient } from './exceptional-access.js';
import { heldBy } from './flag-access.js';

/**
 * Which accesses (alias `x`) a caller sees: an auditor all; an officer the commission's cases; a hospital's administrator those of its people and
 * those about its patients; a patient those about her; anyone his own.
 * @param patientIds the caller's own Patient and those linked with it; only looked at for a patient.
 */
export function visibleTo(caller: Caller, patientIds: readonly string[]): Sql {
  if (isAuditor(caller)) return raw('true');
  const organization = caller.organizationId;
  const about = (which: Sql): Sql => sql`exists (select from exceptional_access_patient p where p.access_id = x.id and ${which})`;
  if (caller.role === 'patient') return about(sql`p.patient_id = any(${patientIds.filter(Boolean)}::text[])`);
  return or([
    sql`(x.agent = ${caller.id} and x.organization_id = ${organization})`,
    ...(caller.role === 'commission-officer' ? [sql`(x.kind = 'oversight' and x.organization_id = ${organization})`] : []),
    ...(isHospitalAdministrator(caller)
      ? [sql`x.organization_id = ${organization}`, about(sql`p.custodian_id = ${organization}`)]
      : []),
  ]);
}

/**
 * The Patients of an access that the caller may see. Whoever was let in is not told here who is registered in the region; the officer who
 * confirms a case sees whom it is about.
 */
export function patientsFor(access: ExceptionalAccess, caller: Caller, patientIds: readonly string[]): OpenedPatient[] {
  if (access.agent === caller.id) return [];
  if (isAuditor(caller)) return access.patients;
  if (caller.role === 'patient') return access.patients.filter((p) => patientIds.includes(p.patient_id));
  if (isHospitalAdministrator(caller)) return heldBy(access, caller.organizationId);
  return access.kind === 'oversight' && caller.role === 'commission-officer' ? access.patients.filter((p) => p.named) : [];
}
