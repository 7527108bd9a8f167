import { systems } from '../../fhir-profiles/codes.js';
import type { Decision } from './decision.js';
import type { Issue } from '../outcomes.js';
import { notFound, Refusal } from '../outcomes.js';
import type { ResourceRow } from '../store/resources.js';

/**
 * What a refused caller is told: one who may know of the record a reason class, its custodian, and what would change the answer;
 * anyone else exactly what he would be told of a record that does not exist.
 */
export function denied(row: ResourceRow, decision: Decision): Refusal {
  if (!decision.mayKnow) return notFound();
  const issue = forbiddenIssue(row, decision);
  return new Refusal(403, [{ ...issue, severity: 'error', code: 'forbidden' }]);
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
