import type { Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import type { Burden } from './burden.js';
import type { SliceScore } from './slice-score.js';

/** Places of the values of `basis` in the manifest. */
const basis = { wholeLungs: 0, lungsInPart: 1, slices: 2 } as const;

type Said = Pick<Interpretation, 'positive' | 'findings' | 'maps' | 'summary'>;

/**
 * What is said of a volume: a score of the case over its lungs, and how much of them is denser than aerated lung. No burden where much
 * of the lungs is too dense to be told from what lies around them.
 */
export function ofVolume(slices: SliceScore[], burden: Burden | undefined, manifest: Manifest): Said {
  const caseScore = meanOfTop(slices, manifest.parameters['topShare']!);
  const said = ofSlices(slices, manifest);
  return {
    ...said,
    positive: caseScore >= manifest.thresholds['probability']!,
    summary: {
      ...said.summary,
      caseScore: rounded(caseScore, 4),
      basis: burden ? basis.wholeLungs : basis.lungsInPart,
      ...(burden && burdenSummary(burden)),
    },
  };
}

function burdenSummary({ total, right, left, consolidation }: Burden): Said['summary'] {
  return {
    burdenPercent: rounded(total.percent, 1),
    burdenMl: rounded(total.ml, 0),
    burdenRightPercent: rounded(right.percent, 1),
    burdenRightMl: rounded(right.ml, 0),
    burdenLeftPercent: rounded(left.percent, 1),
    burdenLeftMl: rounded(left.ml, 0),
    consolidationPercent: rounded(consolidation.percent, 1),
    consolidationMl: rounded(consolidation.ml, 0),
  };
}

/** What is said of slices that make no volume: their own scores, nothing about the case. */
export function ofSlices(slices: SliceScore[], { parameters, thresholds, summary }: Manifest): Said {
  const threshold = thresholds['probability']!;
  const ranked = [...slices].sort((a, b) => b.probability - a.probability);
  const highest = ranked[0]!.probability;
  const unknown = Object.fromEntries(Object.keys(summary).map((name) => [name, null]));
  return {
    positive: highest >= threshold,
    // Where the evidence lies was never held against marked lesions, so it is shown as a map and not as a finding.
    findings: [],
    maps: ranked.slice(0, parameters['mostMaps']).map(({ map }) => map),
    summary: {
      ...unknown,
      highestSliceScore: rounded(highest, 4),
      slicesScored: slices.length,
      slicesAboveThreshold: slices.filter(({ probability }) => probability >= threshold).length,
      basis: basis.slices,
    },
  };
}

/** The mean of the highest part of the scores, rounded up to whole slices. */
function meanOfTop(slices: SliceScore[], share: number): number {
  const scores = slices.map(({ probability }) => probability).sort((a, b) => b - a);
  const top = scores.slice(0, Math.ceil(share * scores.length));
  return top.reduce((sum, score) => sum + score, 0) / top.length;
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
