import { open, within } from '../chest/morphology.js';
import type { Manifest } from '../manifest.js';
import { type Lungs, leftLung, rightLung } from './lungs.js';

/** Lung of raised density, in ml and in per cent of the lung that it lies in. */
export interface Share {
  ml: number;
  percent: number;
}

/** How much of the lungs is denser than aerated lung; `consolidation` is the part of `total` that is as dense as tissue. */
export interface Burden {
  total: Share;
  right: Share;
  left: Share;
  consolidation: Share;
}

/**
 * Counts the voxels of the lungs above a density that hang together in clumps: what a ball fits into, with its rim. So vessels, walls
 * of bronchi, and the seam between lung and tissue, where a voxel holds some of both, are left out unless they are thick.
 */
export function measureBurden(lungs: Lungs, { parameters }: Manifest): Burden {
  const { hounsfield, side, voxel, ml } = lungs;
  const above = (threshold: number) => side.map((lung, i) => (lung > 0 && hounsfield[i]! >= threshold ? 1 : 0));
  const raised = clumps(above(parameters['raisedAbove']!), lungs, parameters);
  const solid = clumps(above(parameters['consolidationAbove']!), lungs, parameters);
  const count = (mask: Uint8Array, lung: number) =>
    (mask.reduce((sum, inside, i) => sum + (inside === 1 && side[i] === lung ? 1 : 0), 0) * voxel ** 3) / 1000;
  const [right, left] = [count(raised, rightLung), count(raised, leftLung)];
  const both = ml.right + ml.left;
  return {
    total: share(right + left, both),
    right: share(right, ml.right),
    left: share(left, ml.left),
    consolidation: share(count(solid, rightLung) + count(solid, leftLung), both),
  };
}

function clumps(mask: Uint8Array, { shape, voxel }: Lungs, parameters: Manifest['parameters']): Uint8Array {
  const cores = open(mask, shape, Math.round(parameters['openingMm']! / voxel));
  const around = within(cores, shape, Math.round(parameters['rimMm']! / voxel));
  return around.map((near, i) => near & mask[i]!);
}

const share = (ml: number, of: number): Share => ({ ml, percent: (100 * ml) / of });
