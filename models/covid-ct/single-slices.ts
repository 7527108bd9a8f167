import { airInsideBody } from '../chest/lung-mask.js';
import { type CtSlice, readCtSlices } from '../dicom/ct-slices.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import { canStandUpright } from './slice-score.js';

/**
 * Slices of the study that show lung, where it holds no volume: a few axial slices, or slices far apart. `not-applicable` where none
 * does.
 */
export async function readLungSlices(paths: string[], manifest: Manifest): Promise<Outcome<CtSlice[]>> {
  const { accepts, parameters } = manifest;
  const limits = {
    transferSyntaxes: accepts.transferSyntaxes,
    mostSlices: parameters['mostSingleSlices']!,
    mostVoxels: accepts.volume!.mostVoxels,
  };
  const read = await readCtSlices(paths, limits);
  if (!read.ok) return read;
  const ofChest = read.value.filter(({ bodyPart }) => !bodyPart || accepts.bodyPartExamined.includes(bodyPart));
  const showing = ofChest.filter((slice) => canStandUpright(slice) && showsBothLungs(slice, manifest));
  return showing.length > 0
    ? success(showing)
    : failure(
        'not-applicable',
        'No slice shows both lungs: they lie outside the slices, or hold no air. Nothing is said about them.',
      );
}

/** Air with tissue in it is lung; gas in the bowel, the windpipe or a sinus is darker throughout, Hounsfield units. */
const gasBelow = -930;
/** The smallest pocket of lung between consolidations that counts, mm2. */
const leastPocketMm2 = 100;

/** Whether there is lung on either side of the body's middle, enough of it in all and on the side that has less. */
function showsBothLungs({ hounsfield, rows, columns, spacing }: CtSlice, { parameters }: Manifest): boolean {
  const grid = { values: Float32Array.from(hounsfield), planes: 1, rows, columns };
  const pixel = spacing.x * spacing.y;
  const { lungs } = airInsideBody(grid, leastPocketMm2 / pixel, parameters['lungBelow']!);
  const lung = new Float64Array(columns);
  for (let i = 0; i < lungs.length; i++) if (lungs[i] === 1 && hounsfield[i]! > gasBelow) lung[i % columns]! += pixel / 100;
  const middle = middleOfBody(hounsfield, columns, parameters['lungBelow']!);
  const sides = [lung.subarray(0, middle), lung.subarray(middle)].map((side) => side.reduce((sum, cm2) => sum + cm2, 0));
  return sides[0]! + sides[1]! >= parameters['leastLungCm2']! && Math.min(...sides) >= parameters['leastSideCm2']!;
}

/** The column that has as much of the body on its left as on its right. */
function middleOfBody(hounsfield: Int16Array, columns: number, airBelow: number): number {
  const body = new Uint32Array(columns);
  for (let i = 0; i < hounsfield.length; i++) if (hounsfield[i]! >= airBelow) body[i % columns]! += 1;
  const half = body.reduce((sum, count) => sum + count, 0) / 2;
  let seen = 0;
  return body.findIndex((count) => {
    seen += count;
    return seen >= half;
  });
}
