import type { Access } from '../access/access.js';
import type { Caller } from '../access/caller.js';
import type { Decision, RequestAccess } from '../access/decision.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';

/** Who may take a step that concerns no record: what is asked of the policy, and what is said of a refusal. */
export interface Step {
  decide(access: RequestAccess): Decision;
  /** What else must hold of the caller, beside the policy. */
  isFor?: boolean;
  /** The entry of the audit, as it stands for who is permitted. */
  entry(decision: Decision): AuditEntry;
  /** Reason class of the refusal in the audit; `role` by default. */
  detail?(decision: Decision): string | undefined;
  /** What the caller is told. */
  refusal: string;
}

/** Asks the policy, as it stands in `tx`, whether the caller may take the step. @throws Refusal 403; the attempt is on record by then. */
export async function permitted(
  { access, audit }: { access: Access; audit: Audit },
  tx: Queryable,
  caller: Caller,
  { decide, isFor = true, entry, detail = () => 'role', refusal }: Step,
): Promise<Decision> {
  const decision = decide(await access.forCaller(tx, caller));
  if (decision.allowed && isFor) return decision;
  await audit.commit([{ ...entry(decision), outcome: 4, detail: detail(decision) }]);
  throw forbidden(refusal);
}
