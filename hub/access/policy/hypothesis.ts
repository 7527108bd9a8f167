import type { Evidence, RowWithEvidence } from '../decision.js';
import type { CallerFacts } from './caller-facts.sql.js';
import type { Scope } from './terms.js';

/** What an explanation assumes beside the facts: some of them away, one agreement more. Nothing is written, and nothing is opened by it. */
export interface Hypothesis {
  /** Agreements, grants and consents to leave out, as an explanation names them. */
  without: readonly Pick<Evidence, 'kind' | 'id'>[];
  /** A sharing agreement from this custodian to the organization asked about. */
  agreement?: { custodian: string; scope: Scope };
}

/** Kinds of evidence that can be left out. */
export const REMOVABLE = ['consent', 'agreement', 'grant'] as const;

/** Id of the agreement that is only assumed, in the evidence. */
export const ASSUMED = 'what-if';

const leftOut = ({ without }: Hypothesis, kind: string, id: string): boolean =>
  without.some((w) => w.kind === kind && w.id === id);

/** The caller's facts as they would be. */
export function factsUnder(hypothesis: Hypothesis, facts: CallerFacts): CallerFacts {
  const { agreement } = hypothesis;
  const assumed = agreement ? [{ id: ASSUMED, bySeries: false, scoreOnly: false, ...agreement }] : [];
  return {
    ...facts,
    agreements: [...assumed, ...facts.agreements.filter((a) => !leftOut(hypothesis, 'agreement', a.id))],
    grants: facts.grants.filter((g) => !leftOut(hypothesis, 'grant', g.id)),
  };
}

/** The row with the consents that would stand. */
export function rowUnder(hypothesis: Hypothesis, row: RowWithEvidence): RowWithEvidence {
  const evidence = typeof row.evidence === 'string' ? JSON.parse(row.evidence) : row.evidence;
  const consents = (evidence?.consents ?? []) as { id: string }[];
  return { ...row, evidence: { ...evidence, consents: consents.filter((c) => !leftOut(hypothesis, 'consent', c.id)) } };
}
