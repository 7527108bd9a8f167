import type { CtVolume } from '../dicom/ct-volume.js';

/** An even grid of cubes: planes from foot to head, then rows, then columns. */
export interface Grid {
  values: Float32Array;
  planes: number;
  rows: number;
  columns: number;
}

/** Part of a grid: `low` and `high` are the first and last index of planes, rows and columns. */
export interface Box {
  low: [planes: number, rows: number, columns: number];
  high: [planes: number, rows: number, columns: number];
}

/** Weights of the source samples that make one target sample. */
interface Taps {
  first: number;
  weights: number[];
}

/** Resamples a volume to cubes of `voxel` mm: linear where it magnifies, a triangle as wide as the target where it reduces. */
export function resample(volume: CtVolume, voxel: number): Grid {
  const { columns, rows, slices, spacing, hounsfield } = volume;
  const [alongX, alongY, alongZ] = [
    taps(columns, spacing.x / voxel),
    taps(rows, spacing.y / voxel),
    taps(slices, spacing.z / voxel),
  ];
  const plane = alongX.length * alongY.length;
  const reduced = new Float32Array(slices * plane);
  const line = new Float32Array(rows * alongX.length);
  for (let slice = 0; slice < slices; slice++) {
    const source = hounsfield.subarray(slice * rows * columns, (slice + 1) * rows * columns);
    for (let row = 0; row < rows; row++) applyAlongRow(source, row * columns, alongX, line, row * alongX.length);
    applyAcross(line, alongX.length, alongY, reduced.subarray(slice * plane, (slice + 1) * plane));
  }
  const values = new Float32Array(alongZ.length * plane);
  applyAcross(reduced, plane, alongZ, values);
  return { values, planes: alongZ.length, rows: alongY.length, columns: alongX.length };
}

/** `ratio` is the spacing of the source in target voxels. First samples coincide. */
function taps(count: number, ratio: number): Taps[] {
  const reach = Math.max(1, 1 / ratio);
  return Array.from({ length: Math.floor((count - 1) * ratio) + 1 }, (_, i) => {
    const centre = i / ratio;
    const first = Math.max(0, Math.ceil(centre - reach));
    const last = Math.min(count - 1, Math.floor(centre + reach));
    const weights = Array.from({ length: last - first + 1 }, (_, j) => Math.max(0, 1 - Math.abs(first + j - centre) / reach));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function applyAlongRow(source: Int16Array, start: number, along: Taps[], target: Float32Array, to: number): void {
  for (let i = 0; i < along.length; i++) {
    const { first, weights } = along[i]!;
    let sum = 0;
    for (let j = 0; j < weights.length; j++) sum += weights[j]! * source[start + first + j]!;
    target[to + i] = sum;
  }
}

/** Weighted sums of whole lines of `width` samples. */
function applyAcross(source: Float32Array, width: number, along: Taps[], target: Float32Array): void {
  for (let i = 0; i < along.length; i++) {
    const { first, weights } = along[i]!;
    const out = target.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < weights.length; j++) {
      const [weight, from] = [weights[j]!, (first + j) * width];
      for (let k = 0; k < width; k++) out[k]! += weight * source[from + k]!;
    }
  }
}

/** Copies a box out of a volume with the grid's sizes. */
export function crop<T extends Float32Array | Uint8Array>(values: T, { rows, columns }: Grid, { low, high }: Box): T {
  const [planes, height, width] = [0, 1, 2].map((axis) => high[axis]! - low[axis]! + 1) as [number, number, number];
  const out = new (values.constructor as new (length: number) => T)(planes * height * width);
  for (let plane = 0; plane < planes; plane++) {
    for (let row = 0; row < height; row++) {
      const from = ((plane + low[0]) * rows + row + low[1]) * columns + low[2];
      out.set(values.subarray(from, from + width), (plane * height + row) * width);
    }
  }
  return out;
}
