import { and, or, raw, type Sql, sql } from '../../store/sql.js';
import type { Situation } from './bases.js';

/** A compiled consent rule of the patient, valid now. Null actor: everyone; null purpose: every purpose. */
export interface ConsentEvidence {
  id: string;
  version: number;
  provision: string;
  decision: 'permit' | 'deny';
  actor: string[] | null;
  purpose: string[] | null;
}

/** A deny wins over any permit; a purpose that needs opt-in is denied without a permit. */
export function consentDenies(s: Situation, consents: readonly ConsentEvidence[]): boolean {
  const concerning = consents.filter((c) => concerns(s, c));
  if (concerning.some((c) => c.decision === 'deny')) return true;
  return needsPermit(s) && !concerning.some((c) => c.decision === 'permit');
}

/** The same as SQL on alias `r`. */
export function consentDeniesSql(s: Situation): Sql {
  const denied = ruleExists(s, 'deny');
  return needsPermit(s) ? or([denied, sql`not ${ruleExists(s, 'permit')}`]) : denied;
}

const needsPermit = ({ caller, optIn }: Situation): boolean => optIn.includes(caller.purposeOfUse);

function concerns({ caller }: Situation, c: ConsentEvidence): boolean {
  return (c.actor === null || c.actor.includes(caller.organizationId)) && (c.purpose === null || c.purpose.includes(caller.purposeOfUse));
}

function ruleExists({ caller }: Situation, decision: 'permit' | 'deny'): Sql {
  return sql`exists (select 1 from consent_rule c where ${and([
    raw('c.patient_id = r.patient_id'),
    sql`c.decision = ${decision}`,
    raw('c.valid_from <= now() and now() < c.valid_until'),
    sql`(c.actor is null or c.actor @> array[${caller.organizationId}]::text[])`,
    sql`(c.purpose is null or c.purpose @> array[${caller.purposeOfUse}]::text[])`,
  ])})`;
}
