import { type noiseTile, noiseTileSize } from './random.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { ceil, floor, hypot, max, min, round } = Math;

/** A point or extent in the patient's space in millimetres: x to the left, y to the back, z to the head (PS3.3 C.7.6.2). */
export type Vector = readonly [x: number, y: number, z: number];

/** Hounsfield units on an axial grid; plane 0 is the lowest, rows run to the back, columns to the patient's left. */
export interface PhantomVolume {
  hounsfield: Int16Array;
  columns: number;
  rows: number;
  slices: number;
  /** Between centres of neighbouring pixels, mm. */
  pixelSpacing: number;
  /** Between centres of neighbouring planes, mm. */
  sliceSpacing: number;
  /** Centre of the first voxel, mm. */
  origin: Vector;
  /** Centre of the first voxel and thickness of each plane, where the planes are not even or a gantry was tilted. */
  planes?: { position: Vector; thickness: number }[];
  /** Direction of the rows, then of the columns. Default: along x and y. */
  orientation?: number[];
}

export interface GridSize {
  columns: number;
  rows: number;
  slices: number;
  pixelSpacing: number;
  sliceSpacing: number;
}

/** An axial grid centred on the patient's origin, filled by a function of the position. */
export function paintVolume(size: GridSize, hounsfieldAt: (x: number, y: number, z: number) => number): PhantomVolume {
  const { columns, rows, slices, pixelSpacing, sliceSpacing } = size;
  const origin = [columns, rows, slices].map((n, i) => (-(n - 1) / 2) * (i === 2 ? sliceSpacing : pixelSpacing));
  const hounsfield = new Int16Array(columns * rows * slices);
  const [x0, y0, z0] = origin as unknown as Vector;
  for (let slice = 0, at = 0; slice < slices; slice++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, at++) {
        hounsfield[at] = hounsfieldAt(x0 + column * pixelSpacing, y0 + row * pixelSpacing, z0 + slice * sliceSpacing);
      }
    }
  }
  return { hounsfield, ...size, origin: [x0, y0, z0] };
}

/** Softens every plane as a reconstruction kernel would, with weights 1-2-1 along rows and columns. */
export function blurPlanes(volume: PhantomVolume): void {
  const { hounsfield, columns, rows, slices } = volume;
  const plane = columns * rows;
  for (let slice = 0; slice < slices; slice++) {
    const values = hounsfield.subarray(slice * plane, (slice + 1) * plane);
    blurAlong(values, 1, plane);
    blurAlong(values, columns, plane);
  }
}

function blurAlong(values: Int16Array, step: number, count: number): void {
  const source = values.slice();
  for (let i = step; i < count - step; i++) values[i] = (source[i - step]! + 2 * source[i]! + source[i + step]!) >> 2;
}

/**
 * Paints a solid given by its signed distance to the surface (mm, negative inside), with a soft edge one pixel wide.
 * `combine` decides between what is there and what is painted (default: the painted value).
 */
export function paintSolid(
  volume: PhantomVolume,
  bounds: { low: Vector; high: Vector },
  distance: (x: number, y: number, z: number) => number,
  hounsfield: number,
  combine: (there: number, painted: number) => number = (_, painted) => painted,
): void {
  const { pixelSpacing, sliceSpacing, columns, rows, slices, origin } = volume;
  const range = (axis: 0 | 1 | 2, spacing: number, count: number) => ({
    from: max(0, floor((bounds.low[axis] - origin[axis]) / spacing) - 1),
    to: min(count - 1, ceil((bounds.high[axis] - origin[axis]) / spacing) + 1),
  });
  const [xs, ys, zs] = [range(0, pixelSpacing, columns), range(1, pixelSpacing, rows), range(2, sliceSpacing, slices)];
  for (let k = zs.from; k <= zs.to; k++) {
    for (let j = ys.from; j <= ys.to; j++) {
      for (let i = xs.from; i <= xs.to; i++) {
        const d = distance(origin[0] + i * pixelSpacing, origin[1] + j * pixelSpacing, origin[2] + k * sliceSpacing);
        const share = min(1, max(0, 0.5 - d / pixelSpacing));
        if (share === 0) continue;
        const at = (k * rows + j) * columns + i;
        const there = volume.hounsfield[at]!;
        volume.hounsfield[at] = there + share * (combine(there, hounsfield) - there);
      }
    }
  }
}

/** Adds a noise tile to every plane, each at a place of its own, where the tissue passes `where`. */
export function addNoise(
  volume: PhantomVolume,
  tile: ReturnType<typeof noiseTile>,
  random: () => number,
  where: (hounsfield: number) => boolean = () => true,
): void {
  const { columns, rows, slices, hounsfield } = volume;
  const mask = noiseTileSize - 1;
  for (let slice = 0, at = 0; slice < slices; slice++) {
    const [dx, dy] = [floor(random() * noiseTileSize), floor(random() * noiseTileSize)];
    for (let row = 0; row < rows; row++) {
      const line = ((row + dy) & mask) * noiseTileSize;
      for (let column = 0; column < columns; column++, at++) {
        const value = hounsfield[at]!;
        if (where(value)) hounsfield[at] = max(-1024, round(value + tile[line + ((column + dx) & mask)]!));
      }
    }
  }
}

export const add = (a: Vector, b: Vector, scale = 1): Vector => [a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2]];
export const lengthOf = (a: Vector): number => hypot(a[0], a[1], a[2]);
export const normalized = (a: Vector): Vector => add([0, 0, 0], a, 1 / (lengthOf(a) || 1));
