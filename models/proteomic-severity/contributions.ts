import type { Contribution } from '../finding.js';
import type { Manifest } from '../manifest.js';

const logOdds = (probability: number): number => Math.log(probability / (1 - probability));

/**
 * What each measured protein adds to the score, in log odds: the score with it less the score as if it were missing, that is at its median. The graph
 * is a logistic regression, so these are its terms. The strongest first; none where the score lies too near 0 or 1 for float32 to tell them.
 */
export function contributionsOf(
  severity: number,
  without: readonly number[],
  values: readonly number[],
  { accepts }: Manifest,
): Contribution[] {
  return accepts
    .observations!.codes.map((code, i) => ({ code, value: Number((logOdds(severity) - logOdds(without[i]!)).toFixed(3)) }))
    .filter(({ value }, i) => !Number.isNaN(values[i]) && Number.isFinite(value))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
}
