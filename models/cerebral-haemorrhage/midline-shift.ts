import type { Cavity } from './cavity.js';
import type { HeadGrid } from './head-volume.js';
import type { Midline } from './midline.js';

/** Where the ventricles are looked for, mm: below the top of the cavity, from the midline, and away from the wall. */
const [highest, lowest, widest, deepest] = [25, 90, 40, 20];
/** Fluid counts fully at 8 HU or less and not at all from 22. */
const [fluid, brain] = [8, 22];
/** Less fluid than this, ml, or less symmetry about the best axis than this, and nothing is said. */
const leastFluidMl = 3;
const leastSymmetry = 0.6;
/** A single ventricle is symmetric about its own axis: most of the fluid must lie apart from the axis, on both sides of it: share, mm. */
const [leastApart, apart] = [0.6, 6];
const step = 1;

/**
 * Midline shift, mm: how far the axis of the fluid in the middle of the brain (ventricles) lies from the midline of the skull, positive
 * towards higher columns. The axis is the one about which that fluid is most symmetric. Null where there is too little fluid or where it has no symmetry.
 */
export function midlineShift(light: Float32Array, cavity: Cavity, midline: Midline, grid: HeadGrid): number | null {
  const { planes, rows, columns } = grid;
  const top = planes.reduce((height, plane, i) => (cavity.areas[i]! > 0 ? plane.height : height), 0);
  const width = 2 * widest + 1;
  // The fluid laid over itself, mirrored about each axis: index is twice the distance of the axis, from the far side on.
  const mirrored = new Float64Array(2 * width - 1);
  const across = new Float64Array(width);
  let [energy, fluidMl] = [0, 0];
  const line = new Float64Array(width);
  planes.forEach((plane, k) => {
    if (plane.height > top - highest || plane.height < top - lowest || !cavity.areas[k]) return;
    const [low, high] = extentAlong(cavity.mask, k, midline, grid);
    for (let along = low; along <= high; along += step) {
      for (let i = 0; i < width; i++) line[i] = fluidAt(...midline.placeOf(k, i - widest, along), k);
      const squares = line.reduce((sum, value) => sum + value * value, 0);
      if (squares === 0) continue;
      energy += squares * plane.thickness;
      fluidMl += (line.reduce((sum, value) => sum + value, 0) * step * plane.thickness) / 1000;
      for (let i = 0; i < width; i++) {
        if (line[i] === 0) continue;
        across[i]! += line[i]! * plane.thickness;
        for (let j = 0; j < width; j++) mirrored[i + j]! += line[i]! * line[j]! * plane.thickness;
      }
    }
  });
  if (fluidMl < leastFluidMl) return null;
  // An axis more than 20 mm off is none.
  const near = [...mirrored.keys()].filter((index) => Math.abs(index - 2 * widest) <= 40);
  const best = near.reduce((top, index) => (mirrored[index]! > mirrored[top]! ? index : top));
  if (mirrored[best]! / energy < leastSymmetry) return null;
  const total = across.reduce((sum, value) => sum + value, 0);
  const beside = across.reduce((sum, value, i) => (Math.abs(i - best / 2) > apart ? sum + value : sum), 0);
  if (beside < leastApart * total) return null;
  return (best + peakOffset(mirrored[best - 1]!, mirrored[best]!, mirrored[best + 1]!)) / 2 - widest;

  function fluidAt(row: number, column: number, plane: number): number {
    const [r, c] = [Math.round(row), Math.round(column)];
    if (r < 0 || c < 0 || r >= rows || c >= columns) return 0;
    const i = (plane * rows + r) * columns + c;
    if (cavity.depth[i]! < deepest) return 0;
    return Math.min(1, Math.max(0, (brain - light[i]!) / (brain - fluid)));
  }
}

/** First and last position along the midline that the plane's cavity has. */
function extentAlong(mask: Uint8Array, plane: number, midline: Midline, { rows, columns }: HeadGrid): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (mask[(plane * rows + row) * columns + column]) {
        const along = midline.alongOf(row, column);
        if (along < low) low = along;
        if (along > high) high = along;
      }
  return [Math.round(low), Math.round(high)];
}

/** Of the peak of a parabola through three values one apart. */
function peakOffset(before: number, at: number, after: number): number {
  const bend = before - 2 * at + after;
  return bend < 0 ? Math.max(-0.5, Math.min(0.5, (0.5 * (before - after)) / bend)) : 0;
}
