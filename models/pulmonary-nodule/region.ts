import type { LungGrid } from './preprocess.js';

/** Voxels that hang together, on the cropped grid. */
export interface Region {
  voxels: number;
  /** Middle in voxels: plane, row, column. */
  centre: [number, number, number];
  /** First and last row and column on each plane that the region is seen on. */
  extents: Map<number, { top: number; bottom: number; left: number; right: number }>;
}

/** Tissue starts half-way between air in the lung and soft tissue, Hounsfield units. */
const tissueThreshold = -400;

/**
 * The tissue inside the closed lung that hangs together with a place (plane, row, column) within `reach` voxels of it. Undefined
 * where there is no tissue within two voxels of the place.
 */
export function growRegion(grid: LungGrid, place: [number, number, number], reach: number): Region | undefined {
  const [, rows, columns] = grid.shape;
  const index = ([plane, row, column]: number[]) => (plane! * rows + row!) * columns + column!;
  const inside = (at: number[]) =>
    at.every((value, axis) => value >= 0 && value < grid.shape[axis]!) &&
    distance(at, place) <= reach &&
    isTissue(grid, index(at));
  const seed = nearest(place, inside);
  if (!seed) return undefined;
  const found = new Set([index(seed)]);
  const queue = [seed];
  for (const at of queue) {
    for (const [axis, step] of neighbours) {
      const next = at.map((value, i) => (i === axis ? value + step : value));
      if (!inside(next) || found.has(index(next))) continue;
      found.add(index(next));
      queue.push(next);
    }
  }
  return describe(queue);
}

const neighbours = [0, 1, 2].flatMap((axis) => [[axis, 1] as const, [axis, -1] as const]);

const isTissue = ({ lung, hounsfield }: LungGrid, at: number): boolean => lung[at] === 1 && hounsfield[at]! > tissueThreshold;

const distance = (a: number[], b: number[]): number => Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!);

function nearest(place: number[], inside: (at: number[]) => boolean): number[] | undefined {
  const around = [-2, -1, 0, 1, 2];
  const middle = place.map(Math.round);
  return around
    .flatMap((dz) => around.flatMap((dy) => around.map((dx) => [middle[0]! + dz, middle[1]! + dy, middle[2]! + dx])))
    .sort((a, b) => distance(a, place) - distance(b, place))
    .find(inside);
}

function describe(voxels: number[][]): Region {
  const extents: Region['extents'] = new Map();
  for (const [plane, row, column] of voxels as [number, number, number][]) {
    const known = extents.get(plane) ?? { top: row, bottom: row, left: column, right: column };
    extents.set(plane, {
      top: Math.min(known.top, row),
      bottom: Math.max(known.bottom, row),
      left: Math.min(known.left, column),
      right: Math.max(known.right, column),
    });
  }
  const centre = [0, 1, 2].map((axis) => voxels.reduce((sum, at) => sum + at[axis]!, 0) / voxels.length);
  return { voxels: voxels.length, centre: centre as Region['centre'], extents };
}
