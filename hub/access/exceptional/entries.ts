import type { AuditEntry } from '../../audit/vocabulary.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller, RequestContext } from '../caller.js';
import type { Decision } from '../decision.js';
import { agentOf, decidedBy } from '../write-request.js';
import type { ExceptionalAccess } from './exceptional-access.js';
import type { Opening } from './open-access.js';

/** What was done with an access: one entry for each Patient that it opens, so that she finds it; one without where it opens none. */
export function entriesOf(
  access: ExceptionalAccess,
  caller: Caller,
  context: RequestContext,
  step: { subtype: string; decision?: Decision; detail?: string },
): AuditEntry[] {
  const base = {
    ...agentOf(caller, context),
    ...decidedBy(...(step.decision ? [step.decision] : [])),
    // what is done under a session is done for break-glass, whatever the token says by which it is begun or ended; of another purpose than
    // the one that was decided on, the decision is not made again
    ...(isOwnSession(access, caller) ? { purpose: 'BTG', policyEpoch: undefined, decidedOn: undefined } : {}),
    type: 'access',
    subtype: step.subtype,
    action: 'E',
    outcome: 0,
    basis: access.kind,
    evidence: evidenceOf(access),
    detail: step.detail ?? access.reason,
  } satisfies AuditEntry;
  if (access.patients.length === 0) return [base];
  return access.patients.map((p) => ({
    ...base,
    patientId: p.patient_id,
    custodianId: p.custodian_id,
    entity: [`Patient/${p.patient_id}`],
  }));
}

const isOwnSession = (access: ExceptionalAccess, caller: Caller): boolean =>
  access.kind === 'break-glass' && access.agent === caller.id;

const evidenceOf = (access: ExceptionalAccess) => [
  { kind: access.kind, id: access.id },
  ...(access.case_number === null ? [] : [{ kind: 'case', id: access.case_number }]),
];

/**
 * A try that was refused is on record for the patient who was meant; whoever tried has not learned whether she is here, nor does the administrator of
 * his organization: its own entry is the same whoever was meant, and those of patients are not of the organization.
 */
export async function refusedEntries(
  tx: Queryable,
  { caller, patientIds, reason }: Opening,
  context: RequestContext,
  why: string,
): Promise<AuditEntry[]> {
  const patients = await tx.query<{ id: string; custodian_id: string }>(
    sql`select id, custodian_id from resource where type = 'Patient' and not deleted and id = any(${patientIds}::text[]) limit 50`,
  );
  const base = {
    ...agentOf(caller, context),
    purpose: 'BTG',
    type: 'access',
    subtype: 'break-glass',
    action: 'E',
    outcome: 4,
    detail: `${why}: ${reason}`,
  } satisfies AuditEntry;
  const ofPatient = { ...base, organizationId: undefined, detail: `${base.detail} (Organization/${caller.organizationId})` };
  return [base, ...patients.map((p) => ({ ...ofPatient, patientId: p.id, custodianId: p.custodian_id, concealed: true }))];
}
