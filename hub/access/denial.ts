import { systems } from '../../fhir-profiles/codes.js';
import type { Decision } from './decision.js';
import type { Issue } from '../outcomes.js';
import { forbidden, notFound, Refusal } from '../outcomes.js';
import type { ResourceRow } from '../store/resources.js';

/** A refusal by the policy. It carries the decision for the audit; the caller is told no more than the issues. */
export class Denial extends Refusal {
  constructor(
    { status, issues }: Pick<Refusal, 'status' | 'issues'>,
    readonly decision: Decision,
  ) {
    super(status, issues);
  }
}

/** 403 for what the role may not do at all. */
export const deniedInGeneral = (decision: Decision, diagnostics: string): Denial => new Denial(forbidden(diagnostics), decision);

/**
 * What a refused caller is told: one who may know of the record a reason class, its custodian, and what would change the answer;
 * anyone else exactly what he would be told of a record that does not exist.
 */
export function denied(row: ResourceRow, decision: Decision): Denial {
  if (!decision.mayKnow) return new Denial(notFound(), decision);
  const issue = forbiddenIssue(row, decision);
  return new Denial({ status: 403, issues: [{ ...issue, severity: 'error', code: 'forbidden' }] }, decision);
}

export function forbiddenIssue(row: ResourceRow, decision: Decision): Issue {
  const change = decision.wouldChange?.length ? ` What would change it: ${decision.wouldChange.join(', ')}.` : '';
  return {
    severity: 'information',
    code: 'suppressed',
    diagnostics: `${row.type}/${row.id} is held by Organization/${row.custodian_id} and not released to you (${decision.reason ?? 'no-basis'}).${change}`,
    expression: [`${row.type}/${row.id}`],
    details: { coding: [{ system: systems.denialReason, code: decision.reason ?? 'no-basis' }] },
  };
}
