import type { Grid } from '../chest/grid.js';
import type { Manifest } from '../manifest.js';
import { type Lungs, leftLung, rightLung } from './lungs.js';

/**
 * Whether the mask is likely to hold the whole of both lungs. Lung as dense as tissue has no border to the tissue around it, so large
 * consolidations, collapsed lung and fluid lie outside the mask. Two things give them away: the mask fills little of the convex hull
 * around it, or there is more soft tissue between a lung and the skin of the back than muscles and ribs make up.
 */
export function isOutlineSeen(lungs: Lungs, grid: Grid, { parameters }: Manifest): boolean {
  const planes = widePlanes(lungs, parameters['leastOutlineShare']!);
  const [filled, hull] = [sum(planes.map(({ area }) => area)), sum(planes.map((plane) => hullArea(lungs, plane.index)))];
  if (filled < parameters['leastHullShare']! * hull) return false;
  const walls = [rightLung, leftLung].map((lung) => median(planes.flatMap(({ index }) => backWalls(lungs, grid, index, lung))));
  return walls.every((voxels) => voxels * lungs.voxel <= parameters['mostBackWallMm']!);
}

/** Planes of the grid where the mask has at least this share of its largest area. */
export function widePlanes({ side, shape: [planes, rows, columns] }: Lungs, share: number): { index: number; area: number }[] {
  const areas = new Uint32Array(planes);
  for (let i = 0; i < side.length; i++) if (side[i]! > 0) areas[Math.floor(i / (rows * columns))]! += 1;
  const least = share * areas.reduce((most, area) => Math.max(most, area), 0);
  return [...areas].map((area, index) => ({ index, area })).filter(({ area }) => area > 0 && area >= least);
}

type Point = [row: number, column: number];

/** In voxels: Andrew's monotone chain over the ends of the rows, the shoelace formula over the corners that it leaves. */
function hullArea({ side, shape: [, rows, columns] }: Lungs, plane: number): number {
  const ends: Point[] = [];
  for (let row = 0; row < rows; row++) {
    const line = side.subarray((plane * rows + row) * columns, (plane * rows + row + 1) * columns);
    const first = line.findIndex((lung) => lung > 0);
    if (first < 0) continue;
    const last = line.findLastIndex((lung) => lung > 0) + 1;
    ends.push([row, first], [row, last], [row + 1, first], [row + 1, last]);
  }
  ends.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const corners = [...chain(ends), ...chain(ends.reverse())];
  const twice = corners.map(([row, column], i) => {
    const [nextRow, nextColumn] = corners[(i + 1) % corners.length]!;
    return row * nextColumn - nextRow * column;
  });
  return Math.abs(sum(twice)) / 2;
}

function chain(points: Point[]): Point[] {
  const kept: Point[] = [];
  for (const point of points) {
    while (kept.length > 1 && !turns(kept.at(-2)!, kept.at(-1)!, point)) kept.pop();
    kept.push(point);
  }
  return kept.slice(0, -1);
}

const turns = (a: Point, b: Point, c: Point): boolean => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0;

/** Between fat and muscle, Hounsfield units. */
const softTissueAbove = -30;
/** A voxel this dark behind the chest is air beyond the skin. */
const airBelow = -300;

/** Voxels of soft tissue and bone behind a lung, column by column, on the way to the skin of the back. */
function backWalls(
  { side, shape: [, rows, columns], low, backIsDown }: Lungs,
  grid: Grid,
  plane: number,
  lung: number,
): number[] {
  const walls: number[] = [];
  const [step, edge] = backIsDown ? [1, grid.rows] : [-1, -1];
  for (let column = 0; column < columns; column++) {
    const inLung = (row: number) => side[(plane * rows + row) * columns + column] === lung;
    let row = backIsDown ? rows - 1 : 0;
    while (row >= 0 && row < rows && !inLung(row)) row -= step;
    if (row < 0 || row >= rows) continue;
    let [dense, reached] = [0, false];
    for (let at = row + low[1] + step; at !== edge; at += step) {
      const value = grid.values[((plane + low[0]) * grid.rows + at) * grid.columns + column + low[2]]!;
      reached ||= value >= softTissueAbove;
      if (reached && value < airBelow) break;
      if (value >= softTissueAbove) dense += 1;
    }
    walls.push(dense);
  }
  return walls;
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
