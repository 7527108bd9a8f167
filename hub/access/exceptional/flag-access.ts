import { conflict } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { type ExceptionalAccess, lockAccess, type OpenedPatient } from './exceptional-access.js';

/** Patients of an access that the caller's hospital holds. */
export const heldBy = (access: ExceptionalAccess, organizationId: string): OpenedPatient[] =>
  organizationId === '' ? [] : access.patients.filter((p) => p.custodian_id === organizationId);

/** A custodian asks the reviewers to look closely, once; after the review it is too late. */
export async function flagAccess(
  tx: Queryable,
  access: ExceptionalAccess,
  caller: Caller,
  comment: string,
): Promise<ExceptionalAccess> {
  if (access.reviewed_at) throw conflict('It has been reviewed.');
  if (heldBy(access, caller.organizationId).some((p) => p.flagged_by)) throw conflict('Your hospital has flagged it.');
  await tx.query(sql`
    update exceptional_access_patient set flagged_by = ${caller.id}, flagged_at = now(), flag_comment = ${comment}
    where access_id = ${access.id} and custodian_id = ${caller.organizationId}`);
  return (await lockAccess(tx, access.id))!;
}
