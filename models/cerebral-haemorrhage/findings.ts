import type { Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import type { Tensors } from '../pipeline.js';
import type { Cavity } from './cavity.js';
import type { HeadGrid } from './head-volume.js';
import { type Measured, measureRegion, rounded } from './measure-region.js';
import { midlineOf } from './midline.js';
import { midlineShift } from './midline-shift.js';
import { denseRegions, type Region } from './regions.js';

type Found = Pick<Interpretation, 'positive' | 'findings' | 'summary'>;

const system = 'https://federation-hub.example/fhir/CodeSystem/model-output';
const sites = {
  left: { system, code: 'left-half-of-cranial-cavity', display: 'Left half of the cranial cavity' },
  right: { system, code: 'right-half-of-cranial-cavity', display: 'Right half of the cranial cavity' },
};

/** Turns the dense regions into findings above the operating point, the highest score first, and sums them up. */
export function findHaemorrhages(outputs: Tensors, cavity: Cavity, grid: HeadGrid, { thresholds, parameters }: Manifest): Found {
  const light = outputs['light']!.data;
  const densities = { light, surroundings: outputs['surroundings']!.data, seed: outputs['seed']!.data };
  const midline = midlineOf(cavity, grid);
  const found = denseRegions(densities, cavity, grid)
    .map((region) => ({ ...measureRegion(region, 0, cavity, midline, grid, sites), region }))
    .map((measured) => ({ ...measured, finding: { ...measured.finding, score: scoreOf(measured, measured.region) } }))
    .filter(({ finding }) => finding.score >= thresholds['score']! && finding.volumeMm3 >= 1000 * thresholds['leastVolumeMl']!)
    .filter(({ thicknessMm }) => thicknessMm >= parameters['leastThicknessMm']!)
    .filter((measured) => !isStrandAtTable(measured, parameters['leastWidthAtTableMm']!, parameters['leastThicknessAtTableMm']!))
    .sort((a, b) => b.finding.score - a.finding.score)
    .slice(0, thresholds['mostFindings']!);
  const shift = midlineShift(light, cavity, midline, grid);
  return {
    positive: found.length > 0,
    findings: found.map(({ finding }) => finding),
    summary: summarize(found, shift === null ? null : shift * Math.sign(grid.volume.axes.x[0]!)),
  };
}

/**
 * 0 to 1: how much denser than the brain around it (nothing at 10 HU, full at 30) times how large (half at 1 ml). No probability.
 */
function scoreOf({ finding }: Measured, { hounsfield, around }: Region): number {
  const contrast = Math.min(1, Math.max(0, (hounsfield - around - 10) / 20));
  const ml = finding.volumeMm3 / 1000;
  return rounded((contrast * ml) / (ml + 1), 4);
}

/** Blood in a dural sinus is a strand along the skull: neither wide nor thick. */
const isStrandAtTable = ({ atTable, widthMm, thicknessMm }: Measured, leastWidth: number, leastThickness: number): boolean =>
  atTable && widthMm < leastWidth && thicknessMm < leastThickness;

function summarize(found: Measured[], shift: number | null): Interpretation['summary'] {
  const ml = (list: Measured[]) => rounded(list.reduce((sum, { finding }) => sum + finding.volumeMm3, 0) / 1000, 1);
  const [largest] = [...found].sort((a, b) => b.finding.volumeMm3 - a.finding.volumeMm3);
  return {
    totalVolumeMl: ml(found),
    findingCount: found.length,
    highestScore: found[0]?.finding.score ?? null,
    largestVolumeMl: largest ? ml([largest]) : null,
    largestAbc2Ml: largest ? rounded(largest.abc2Ml, 1) : null,
    volumeAtInnerTableMl: found.length > 0 ? ml(found.filter(({ atTable }) => atTable)) : null,
    midlineShiftMm: shift === null ? null : rounded(Math.abs(shift), 1),
    midlineShiftSide: shift === null || Math.abs(shift) < 0.5 ? null : shift > 0 ? 0 : 1,
  };
}
