import { conflict, notFound } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import { link, lockLinks, type ReevaluateGrants, unlink } from './links.js';
import { type LinkRow, type LinkState, listLinks } from './list-links.js';

/** What a steward may do with a pair, and in which states. What was rejected or unlinked may be accepted later: nothing is final. */
export const STEPS = {
  accept: ['proposed', 'rejected', 'unlinked'],
  reject: ['proposed', 'rejected'],
  unlink: ['linked'],
} as const satisfies Record<string, readonly LinkState[]>;
export type Step = keyof typeof STEPS;

export interface StewardDecision {
  id: string;
  step: Step;
  /** Hospital that the steward acts for. */
  organizationId: string;
  by: string;
}

/**
 * A steward's decision on a pair in which his hospital takes part. A link opens records of either hospital to the other, and nobody grants
 * himself access: it is made once both have accepted. Either alone rejects or unlinks.
 * @returns the pair as it is now.
 * @throws Refusal 404 for a pair that is not the hospital's, 409 when its state does not admit the step, or when the link would join
 * Patients that were decided to be different persons.
 */
export async function decideLink(tx: Queryable, decision: StewardDecision, reevaluate: ReevaluateGrants): Promise<LinkRow> {
  const { id, step, organizationId, by } = decision;
  await lockLinks(tx);
  const pair = await read(tx, id, organizationId);
  const states: readonly LinkState[] = STEPS[step];
  if (!states.includes(pair.state)) throw conflict(`The pair is ${pair.state}: ${step} is not possible.`);
  if (step === 'accept') await accept(tx, pair, organizationId, by);
  else if (step === 'unlink') await unlink(tx, { a: pair.patient_a, b: pair.patient_b }, by, reevaluate);
  else await reject(tx, id, by);
  return read(tx, id, organizationId);
}

async function read(tx: Queryable, id: string, organizationId: string): Promise<LinkRow> {
  const [row] = await listLinks(tx, { organizationId, id, count: 1 });
  if (!row) throw notFound();
  return row;
}

async function accept(tx: Queryable, pair: LinkRow, organizationId: string, by: string): Promise<void> {
  const acceptedBy = [...new Set([...pair.accepted_by, organizationId])].sort();
  await tx.query(sql`update link_decision set accepted_by = ${acceptedBy}::text[] where id = ${pair.id}`);
  if (![pair.custodian_a, pair.custodian_b].every((custodian) => acceptedBy.includes(custodian))) return;
  const linked = await link(tx, [{ a: pair.patient_a, b: pair.patient_b }], { by, basis: '' });
  if (linked.length === 0) throw conflict('This would join Patients that were decided to be different persons.');
}

async function reject(tx: Queryable, id: string, by: string): Promise<void> {
  await tx.query(
    sql`update link_decision set state = 'rejected', accepted_by = '{}', decided_by = ${by}, decided_at = now() where id = ${id}`,
  );
}
