import type { Queryable } from '../../store/database.js';
import { newId } from '../../store/resources.js';
import { matesOf } from '../../store/cluster.sql.js';
import { type Sql, sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { type ExceptionalAccess, type Kind, lockAccess } from './exceptional-access.js';

/** Who asks to be let in to whom, and why. */
export interface Opening {
  caller: Caller;
  /** Ids of the Patients that were named; none that is here: the access opens nothing, and is on record like any other. */
  patientIds: readonly string[];
  reason: string;
  /** In the person's own words. */
  statement: string;
}

/** Patients of one person that are opened: with more, somebody linked what is not one person. */
const MOST_PATIENTS = 50;

interface Columns {
  kind: Kind;
  caseNumber: string | null;
  validFrom: Sql;
  validUntil: Sql;
  reviewDue: Sql;
}

/** Stores an access with the Patients that it is for: those named and those linked with them now. */
export async function insertAccess(tx: Queryable, opening: Opening, columns: Columns): Promise<ExceptionalAccess> {
  const { caller, patientIds, reason, statement } = opening;
  const id = newId();
  await tx.query(sql`
    insert into exceptional_access (id, kind, agent, agent_name, organization_id, reason, statement, case_number, valid_from, valid_until, review_due)
    values (${id}, ${columns.kind}, ${caller.id}, ${caller.name}, ${caller.organizationId}, ${reason}, ${statement}, ${columns.caseNumber},
      ${columns.validFrom}, ${columns.validUntil}, ${columns.reviewDue})`);
  await tx.query(sql`
    insert into exceptional_access_patient (access_id, patient_id, custodian_id, named)
    select ${id}, r.id, r.custodian_id, r.id = any(${patientIds}::text[])
    from resource r
    where r.type = 'Patient' and not r.deleted and r.id in (
      select unnest(${patientIds}::text[])
      union
      ${matesOf(sql`= any(${patientIds}::text[])`)})
    order by r.id = any(${patientIds}::text[]) desc, r.id limit ${MOST_PATIENTS}`);
  return (await lockAccess(tx, id))!;
}
