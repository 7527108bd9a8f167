import { crop, resample } from '../chest/grid.js';
import { closedLungMask, sizes } from '../chest/lung-mask.js';
import type { Shape } from '../chest/morphology.js';
import type { CtVolume } from '../dicom/ct-volume.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import { type Lungs, leftLung, rightLung } from './lungs.js';
import { isOutlineSeen } from './outline.js';

/**
 * Finds both lungs. `not-applicable` where too little of them is aerated, or one is hardly seen: a lung that is filled throughout has
 * no border to the tissue around it, and "nothing seen" must not read as "nothing there".
 */
export function findLungs(volume: CtVolume, manifest: Manifest): Outcome<Lungs & { outlineSeen: boolean }> {
  const { parameters } = manifest;
  const voxel = parameters['voxelMm']!;
  const grid = resample(volume, voxel);
  const mask = closedLungMask(grid, voxel, parameters['closingMm']!, parameters['lungBelow']!);
  if (!mask || mask.airMl < parameters['leastLungMl']!)
    return failure(
      'not-applicable',
      'No lungs are seen: they lie outside the series, or hold no air. Nothing is said about them.',
    );
  const shape = sizes(mask.box);
  const side = mask.closed.slice();
  const ml = divide(side, shape, volume.axes.x[0]! > 0, voxel);
  if (Math.min(ml.left, ml.right) < parameters['leastSideRatio']! * Math.max(ml.left, ml.right))
    return failure(
      'not-applicable',
      'Only one lung is seen: the other is missing, or holds no air. Nothing is said about either.',
    );
  const backIsDown = volume.axes.y[1]! > 0;
  const lungs = { hounsfield: crop(grid.values, grid, mask.box), side, shape, low: mask.box.low, voxel, ml, backIsDown };
  return success({ ...lungs, outlineSeen: isOutlineSeen(lungs, grid, manifest) });
}

/** Divides the mask plane by plane, in the middle third of its width, at the column with least of it. Returns the volumes in ml. */
function divide(mask: Uint8Array, [planes, rows, columns]: Shape, columnsRunLeft: boolean, voxel: number): Lungs['ml'] {
  const ml = { right: 0, left: 0 };
  const [lowSide, highSide] = columnsRunLeft ? [rightLung, leftLung] : [leftLung, rightLung];
  for (let plane = 0; plane < planes; plane++) {
    const inPlane = mask.subarray(plane * rows * columns, (plane + 1) * rows * columns);
    const border = narrowestColumn(inPlane, columns);
    for (let i = 0; i < inPlane.length; i++) {
      if (inPlane[i] === 0) continue;
      inPlane[i] = i % columns < border ? lowSide : highSide;
      ml[inPlane[i] === leftLung ? 'left' : 'right'] += voxel ** 3 / 1000;
    }
  }
  return ml;
}

/** Between equals, the one nearest the middle. */
function narrowestColumn(plane: Uint8Array, columns: number): number {
  const filled = new Uint32Array(columns);
  for (let i = 0; i < plane.length; i++) filled[i % columns]! += plane[i]!;
  const middle = columns / 2;
  let best = Math.round(middle);
  for (let column = Math.ceil(columns / 3); column < (2 * columns) / 3; column++) {
    const nearer = Math.abs(column - middle) < Math.abs(best - middle);
    if (filled[column]! < filled[best]! || (filled[column] === filled[best] && nearer)) best = column;
  }
  return best;
}
