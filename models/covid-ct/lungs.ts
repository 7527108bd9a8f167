import type { Shape } from '../chest/morphology.js';

/** The lungs of a chest CT on an even grid, cut to their box: planes from foot to head, then rows, then columns. */
export interface Lungs {
  hounsfield: Float32Array;
  /** 1 in the patient's right lung, 2 in the left, else 0; ground glass, vessels and small consolidations lie inside. */
  side: Uint8Array;
  shape: Shape;
  /** Index of the first voxel on the grid of the whole volume. */
  low: Shape;
  /** Edge of a voxel, mm. */
  voxel: number;
  ml: { right: number; left: number };
  /** Whether rows run from the chest to the back. */
  backIsDown: boolean;
}

export const rightLung = 1;
export const leftLung = 2;
