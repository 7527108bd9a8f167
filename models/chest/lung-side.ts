import type { Finding } from '../finding.js';

/** Air of both lungs on an even grid, and where the grid lies in the patient. */
export interface LungAir {
  hounsfield: Float32Array;
  /** 1 inside the closed lungs, else 0. */
  lung: Uint8Array;
  shape: [planes: number, rows: number, columns: number];
  /** Where a place (plane, row, column) lies in the patient's space, mm (PS3.3 C.7.6.2.1.1: x to the left, z to the head). */
  positionOf: (place: [number, number, number]) => [x: number, y: number, z: number];
}

/** Lungs by the side that their air lies on: the gap between them (x, mm), and how high each reaches (z, mm). */
export interface Lungs {
  gap: number;
  right: Extent;
  left: Extent;
}

interface Extent {
  lowest: number;
  highest: number;
}

type Site = Required<Pick<Finding, 'site' | 'siteText'>>;

/** Below this a voxel counts as air, Hounsfield units. */
const airThreshold = -500;
/** Bins of 1.5 mm hold the lateral spread of the air. */
const binMm = 1.5;
/** The gap is one where it holds less than this share of the air that each lung has at its widest. */
const deepGap = 0.5;
/** Nearer to the gap than this a place has no side, mm. */
const besideGap = 6;
/** Of the air of a lung, left out at either end as of the windpipe or stray, per cent. */
const stray = 0.5;

/** Tells the two lungs apart by the gap in the lateral spread of their air. Undefined where there is no clear gap: one lung alone, or a cut field of view. */
export function tellLungsApart(air: LungAir): Lungs | undefined {
  const seen = airPositions(air);
  const gap = gapOf(seen.x);
  if (gap === undefined) return undefined;
  const heights = (belongs: (x: number) => boolean) => Float32Array.from(seen.z.filter((_, i) => belongs(seen.x[i]!))).sort();
  const [right, left] = [heights((x) => x < gap), heights((x) => x > gap)];
  return { gap, right: extentOf(right), left: extentOf(left) };
}

/** The side that the air around a place lies on, and the third of that lung's height: thirds by height, which are not lobes. */
export function siteOf(lungs: Lungs, aroundX: number, z: number): Site | undefined {
  if (Math.abs(aroundX - lungs.gap) < besideGap) return undefined;
  const side = aroundX < lungs.gap ? 'right' : 'left';
  const { lowest, highest } = lungs[side];
  const height = (z - lowest) / (highest - lowest);
  const third = height < 1 / 3 ? 'lower' : height < 2 / 3 ? 'middle' : 'upper';
  return { site: lungSites[side], siteText: `${side} lung, ${third} third of its height` };
}

/** SNOMED CT body structures. */
const lungSites = {
  right: { system: 'http://snomed.info/sct', code: '3341006', display: 'Right lung structure' },
  left: { system: 'http://snomed.info/sct', code: '44029006', display: 'Left lung structure' },
};

/** Every second voxel along each axis is enough. */
function airPositions({ hounsfield, lung, shape: [planes, rows, columns], positionOf }: LungAir) {
  const [x, z]: [number[], number[]] = [[], []];
  for (let plane = 0; plane < planes; plane += 2) {
    for (let row = 0; row < rows; row += 2) {
      for (let column = 0; column < columns; column += 2) {
        const at = (plane * rows + row) * columns + column;
        if (lung[at] !== 1 || hounsfield[at]! > airThreshold) continue;
        const position = positionOf([plane, row, column]);
        x.push(position[0]);
        z.push(position[2]);
      }
    }
  }
  return { x, z };
}

/** The emptiest place between the lateral ends of the air, each end with at least a seventh of it. */
function gapOf(x: number[]): number | undefined {
  if (x.length === 0) return undefined;
  const sorted = Float32Array.from(x).sort();
  const first = sorted[0]!;
  const bins = new Array<number>(Math.floor((sorted.at(-1)! - first) / binMm) + 1).fill(0);
  for (const value of sorted) bins[Math.floor((value - first) / binMm)]!++;
  // Every second voxel may fall on every second bin, so bins are looked at by fives.
  const smooth = bins.map((_, i) => bins.slice(Math.max(0, i - 2), i + 3).reduce((sum, value) => sum + value, 0));
  const binAt = (share: number) => Math.floor((sorted[Math.floor(share * (sorted.length - 1))]! - first) / binMm);
  const [from, to] = [binAt(0.15), binAt(0.85)];
  let lowest = from;
  for (let i = from; i <= to; i++) if (smooth[i]! < smooth[lowest]!) lowest = i;
  const [before, after] = [Math.max(...smooth.slice(0, lowest + 1)), Math.max(...smooth.slice(lowest))];
  return smooth[lowest]! < deepGap * Math.min(before, after) ? first + (lowest + 0.5) * binMm : undefined;
}

function extentOf(heights: Float32Array): Extent {
  const at = (percent: number) => heights[Math.floor((percent / 100) * (heights.length - 1))]!;
  return { lowest: at(stray), highest: at(100 - stray) };
}
