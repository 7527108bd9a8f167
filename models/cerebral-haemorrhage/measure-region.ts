import type { BoxOnInstance, Finding } from '../finding.js';
import type { Cavity } from './cavity.js';
import type { HeadGrid } from './head-volume.js';
import type { Midline } from './midline.js';
import { depthOf } from './plane-mask.js';
import type { Region } from './regions.js';

/** A finding that was measured, and what the rules about it need. */
export interface Measured {
  finding: Finding & Required<Pick<Finding, 'diameterMm' | 'volumeMm3' | 'centreMm'>>;
  /** A * B * C / 2 of the bedside, ml: length and breadth on the plane where it is largest, height. */
  abc2Ml: number;
  /** Its width, if it is thin: of a strand little more than its thickness, of a layer much more, mm. */
  widthMm: number;
  /** Whether it lies against the inner table of the skull. */
  atTable: boolean;
  /** The widest disc that fits into it on a plane, mm. */
  thicknessMm: number;
}

/** Nearer than this to the wall of the cavity is at the inner table, mm. */
const tableMm = 3;

/** `site` is given by the side of the midline that holds nearly all of the region. */
export function measureRegion(
  region: Region,
  score: number,
  cavity: Cavity,
  midline: Midline,
  grid: HeadGrid,
  sites: { left: Finding['site']; right: Finding['site'] },
): Measured {
  const { voxels } = region;
  const byPlane = groupByPlane(voxels, grid);
  const area = grid.pixel.x * grid.pixel.y;
  const volumeMm3 = [...byPlane].reduce((sum, [plane, list]) => sum + list.length * area * grid.planes[plane]!.thickness, 0);
  const [largest, widest] = [...byPlane].reduce((a, b) => (b[1].length > a[1].length ? b : a));
  const { length, breadth } = extents(widest, grid);
  const height = [...byPlane.keys()].reduce((sum, plane) => sum + grid.planes[plane]!.thickness, 0);
  const slices = [...byPlane.keys()].sort((a, b) => a - b).flatMap((plane) => boxes(plane, byPlane.get(plane)!, grid));
  const middleSlice = slices.find(({ sopInstanceUid }) => sopInstanceUid === middleInstance(largest, grid))!;
  const thicknessMm = Math.max(...[...byPlane.values()].map((list) => thickness(list, grid)));
  const site = siteOf(voxels, midline, grid, sites);
  const atTable = voxels.some((i) => cavity.depth[i]! <= tableMm);
  return {
    finding: {
      score: rounded(score, 4),
      diameterMm: rounded(Math.max(length, height), 1),
      volumeMm3: rounded(volumeMm3, 0),
      centreMm: patientPosition(voxels, grid),
      ...(site ? { site } : {}),
      ...middleSlice,
      slices,
    },
    abc2Ml: (length * breadth * height) / 2000,
    widthMm: strapWidth(voxels, volumeMm3, thicknessMm, grid),
    atTable,
    thicknessMm,
  };
}

function groupByPlane(voxels: number[], { rows, columns }: HeadGrid): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const i of voxels) {
    const plane = Math.floor(i / (rows * columns));
    const known = groups.get(plane);
    if (known) known.push(i);
    else groups.set(plane, [i]);
  }
  return groups;
}

const rowOf = (i: number, { rows, columns }: HeadGrid): number => Math.floor(i / columns) % rows;

/** The longest line across the plane's part of the region, and the extent across it, mm. */
function extents(voxels: number[], grid: HeadGrid): { length: number; breadth: number } {
  const { columns, pixel } = grid;
  const points = voxels.map((i) => [(i % columns) * pixel.x, rowOf(i, grid) * pixel.y] as const);
  const mm = Math.sqrt(pixel.x * pixel.y);
  const widths = Array.from({ length: 36 }, (_, i) => {
    const [s, c] = [Math.sin((i * Math.PI) / 36), Math.cos((i * Math.PI) / 36)];
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const [x, y] of points) {
      const at = c * x + s * y;
      if (at < low) low = at;
      if (at > high) high = at;
    }
    return high - low + mm;
  });
  const longest = widths.indexOf(Math.max(...widths));
  return { length: widths[longest]!, breadth: widths[(longest + 18) % 36]! };
}

/** Diameter of the widest disc within the plane's part of the region, mm. */
function thickness(voxels: number[], grid: HeadGrid): number {
  const { columns, pixel } = grid;
  const { left, right, top, bottom } = boundsOf(voxels, grid);
  const size = { rows: bottom - top + 1, columns: right - left + 1 };
  const mask = new Uint8Array(size.rows * size.columns);
  for (const i of voxels) mask[(rowOf(i, grid) - top) * size.columns + (i % columns) - left] = 1;
  const depth = depthOf(mask, size);
  return (2 * depth.reduce((most, value) => Math.max(most, value), 0) - 1) * Math.sqrt(pixel.x * pixel.y);
}

function boundsOf(voxels: number[], grid: HeadGrid): { left: number; right: number; top: number; bottom: number } {
  let [left, right, top, bottom] = [grid.columns, 0, grid.rows, 0];
  for (const i of voxels) {
    const [row, column] = [rowOf(i, grid), i % grid.columns];
    [left, right] = [Math.min(left, column), Math.max(right, column)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
  }
  return { left, right, top, bottom };
}

/** Across its length and its thickness, as if it were a strap: volume over thickness and the diagonal of the box around it, mm. */
function strapWidth(voxels: number[], volumeMm3: number, thicknessMm: number, grid: HeadGrid): number {
  const { rows, columns, planes, pixel } = grid;
  const { left, right, top, bottom } = boundsOf(voxels, grid);
  const planesOf = voxels.map((i) => Math.floor(i / (rows * columns)));
  const [lowest, highest] = planesOf.reduce(
    ([low, high], plane) => [Math.min(low, plane), Math.max(high, plane)],
    [planes.length, 0],
  );
  const height = planes[highest]!.height - planes[lowest]!.height + planes[lowest]!.thickness;
  const length = Math.hypot((right - left + 1) * pixel.x, (bottom - top + 1) * pixel.y, height);
  return volumeMm3 / (thicknessMm * length);
}

/** The box of a plane's part of the region, on each slice of the plane. */
function boxes(plane: number, voxels: number[], grid: HeadGrid): BoxOnInstance[] {
  const { joined, volume, planes } = grid;
  const { left, right, top, bottom } = boundsOf(voxels, grid);
  const box = { x: left * joined, y: top * joined, width: (right - left + 1) * joined, height: (bottom - top + 1) * joined };
  const { first, last } = planes[plane]!;
  return volume.instances.slice(first, last + 1).map(({ sopInstanceUid }) => ({ sopInstanceUid, frame: 1, box }));
}

const middleInstance = (plane: number, { planes, volume }: HeadGrid): string =>
  volume.instances[(planes[plane]!.first + planes[plane]!.last) >> 1]!.sopInstanceUid;

/** The middle of the region in the patient's space. Where planes were joined, half-way between their first and their last slice. */
function patientPosition(voxels: number[], grid: HeadGrid): [number, number, number] {
  const { volume, columns, rows, joined, planes, pixel } = grid;
  const sum = [0, 0, 0];
  // Middle of the joined pixels, in mm from the middle of the first pixel of the slice.
  const inset = (joined - 1) / (2 * joined);
  for (const i of voxels) {
    const { first, last } = planes[Math.floor(i / (rows * columns))]!;
    const [x, y] = [((i % columns) + inset) * pixel.x, (rowOf(i, grid) + inset) * pixel.y];
    for (let axis = 0; axis < 3; axis++) {
      const origin = (volume.planes[first]!.position[axis]! + volume.planes[last]!.position[axis]!) / 2;
      sum[axis]! += origin + x * volume.axes.x[axis]! + y * volume.axes.y[axis]!;
    }
  }
  return sum.map((value) => rounded(value / voxels.length, 1)) as [number, number, number];
}

/** The side on which at least nine tenths lie; columns run to the patient's left where the row direction does. */
function siteOf(
  voxels: number[],
  midline: Midline,
  grid: HeadGrid,
  { left, right }: { left: Finding['site']; right: Finding['site'] },
): Finding['site'] {
  const { columns, rows, volume } = grid;
  const onHigher = voxels.filter((i) => midline.sideOf(Math.floor(i / (rows * columns)), rowOf(i, grid), i % columns) > 0).length;
  const share = onHigher / voxels.length;
  if (share > 0.1 && share < 0.9) return undefined;
  return share >= 0.9 === volume.axes.x[0]! > 0 ? left : right;
}

export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
