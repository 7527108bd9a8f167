import type { LungGrid } from './preprocess.js';

/** Voxels that hang together, on the cropped grid. */
export interface Region {
  voxels: number;
  /** Middle in voxels: plane, row, column. */
  centre: [number, number, number];
  /** Faces that more tissue lies behind, outside the closed lung: where the lung was cut off from the region. */
  walled: number;
  /** First and last row and column on each plane that the region is seen on. */
  extents: Map<number, { top: number; bottom: number; left: number; right: number }>;
}

/** A place on the cropped grid: plane, row, column. */
export type Voxel = [plane: number, row: number, column: number];

/** Tissue starts half-way between air in the lung and soft tissue, Hounsfield units. */
const tissueThreshold = -400;

/** The tissue inside the closed lung that hangs together with a place within `reach` voxels of it. Undefined where there is no tissue within two voxels of it. */
export function growRegion(grid: LungGrid, place: Voxel, reach: number): Region | undefined {
  return grow(grid, place, (at) => distance(at, place) <= reach && grid.lung[indexOf(grid, at)] === 1);
}

/** The tissue within a ball that hangs together, whatever lies outside the lung. */
export function regionInBall(grid: LungGrid, { centre, radius }: { centre: Voxel; radius: number }): Region | undefined {
  return grow(grid, centre, (at) => distance(at, centre) <= radius);
}

function grow(grid: LungGrid, place: Voxel, belongs: (at: Voxel) => boolean): Region | undefined {
  const inside = (at: Voxel) => belongs(at) && isTissue(grid, at);
  const seed = nearest(place, inside);
  if (!seed) return undefined;
  const found = new Set([indexOf(grid, seed)]);
  const queue = [seed];
  let walled = 0;
  for (const at of queue) {
    for (const [axis, step] of neighbours) {
      const next = at.map((value, i) => (i === axis ? value + step : value)) as Voxel;
      if (isTissue(grid, next) && grid.lung[indexOf(grid, next)] === 0) walled++;
      if (found.has(indexOf(grid, next)) || !inside(next)) continue;
      found.add(indexOf(grid, next));
      queue.push(next);
    }
  }
  return describe(queue, walled);
}

const neighbours = [0, 1, 2].flatMap((axis) => [[axis, 1] as const, [axis, -1] as const]);

const indexOf = ({ shape: [, rows, columns] }: LungGrid, [plane, row, column]: Voxel): number =>
  (plane * rows + row) * columns + column;

/** Whether the voxel at a place is denser than lung; beyond the grid nothing is. */
export function isTissue({ shape, hounsfield }: LungGrid, place: Voxel): boolean {
  const [plane, row, column] = place.map(Math.round) as Voxel;
  return isWithin({ shape }, [plane, row, column]) && hounsfield[(plane * shape[1] + row) * shape[2] + column]! > tissueThreshold;
}

export const isWithin = ({ shape }: Pick<LungGrid, 'shape'>, place: Voxel): boolean =>
  place.every((value, axis) => value >= 0 && value < shape[axis]!);

const distance = (a: number[], b: number[]): number => Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!);

function nearest(place: Voxel, inside: (at: Voxel) => boolean): Voxel | undefined {
  const around = [-2, -1, 0, 1, 2];
  const middle = place.map(Math.round);
  return around
    .flatMap((dz) => around.flatMap((dy) => around.map((dx): Voxel => [middle[0]! + dz, middle[1]! + dy, middle[2]! + dx])))
    .sort((a, b) => distance(a, place) - distance(b, place))
    .find(inside);
}

function describe(voxels: Voxel[], walled: number): Region {
  const extents: Region['extents'] = new Map();
  for (const [plane, row, column] of voxels) {
    const known = extents.get(plane) ?? { top: row, bottom: row, left: column, right: column };
    extents.set(plane, {
      top: Math.min(known.top, row),
      bottom: Math.max(known.bottom, row),
      left: Math.min(known.left, column),
      right: Math.max(known.right, column),
    });
  }
  const centre = [0, 1, 2].map((axis) => voxels.reduce((sum, at) => sum + at[axis]!, 0) / voxels.length);
  return { voxels: voxels.length, centre: centre as Region['centre'], extents, walled };
}
