import type { LungGrid } from './preprocess.js';
import { isTissue, type Voxel } from './region.js';

/** A ball on the cropped grid, in voxels. */
export interface Ball {
  centre: Voxel;
  radius: number;
}

const directions = 256;
/** Least share of the directions whose surface makes the ball: a third of a ball is enough to tell it, a bump on a wall is not. */
const leastShare = 0.3;
/** Surface further from the ball than this is none of it: a vessel, a wall. Voxels, and share of the radius. */
const [leastOff, mostOff] = [0.7, 0.15];

/** Looks at most, each from the middle of the ball that the one before has told. */
const looks = 6;

/**
 * The ball that fits best to where tissue ends in air, seen from within: so a nodule that grows out of a wall is measured by the part of its surface that is
 * free. Starts from the ball that is guessed, sees `reach` radii far. Undefined where too little of a ball is seen.
 */
export function ballOfFreeSurface(grid: LungGrid, guess: Ball, reach: number): Ball | undefined {
  let ball: Ball | undefined;
  for (let look = 0; look < looks; look++) {
    const { centre, radius } = ball ?? guess;
    const next = ballSeen(grid, centre, reach * radius);
    if (!next) break;
    const moved = ball ? distance(next.centre, ball.centre) : Number.POSITIVE_INFINITY;
    ball = next;
    if (moved < 0.1) break;
  }
  return ball;
}

function ballSeen(grid: LungGrid, from: Voxel, reach: number): Ball | undefined {
  let surface = surfaceSeen(grid, from, reach);
  let ball: Ball | undefined;
  for (let round = 0; round < 6; round++) {
    ball = fitBall(surface);
    if (!ball) return undefined;
    const { centre, radius } = ball;
    const off = (point: Voxel) => Math.abs(distance(point, centre) - radius);
    // At first half of the surface may be of something else, a vessel or the wall.
    const allowed = Math.max(leastOff, mostOff * radius, round < 3 ? middleOf(surface.map(off)) : 0);
    surface = surface.filter((point) => off(point) <= allowed);
  }
  if (!ball || surface.length < leastShare * directions) return undefined;
  return distance(ball.centre, from) < ball.radius && ball.radius <= reach ? ball : undefined;
}

/** Where rays in all directions first leave the tissue; rays that stay in it see nothing. */
function surfaceSeen(grid: LungGrid, from: Voxel, reach: number): Voxel[] {
  return sphere.flatMap((direction) => {
    for (let length = 0.5; length <= reach; length += 0.25) {
      const at = from.map((value, axis) => value + length * direction[axis]!) as Voxel;
      if (!isTissue(grid, at)) return [at.map((value, axis) => value - 0.125 * direction[axis]!) as Voxel];
    }
    return [];
  });
}

/** Least squares of |p|^2 = 2 c p + (r^2 - |c|^2), which is linear in c and the bracket. */
function fitBall(points: Voxel[]): Ball | undefined {
  if (points.length < 8) return undefined;
  const rows = points.map((p) => [2 * p[0], 2 * p[1], 2 * p[2], 1]);
  const wanted = points.map((p) => p[0] ** 2 + p[1] ** 2 + p[2] ** 2);
  const normal = [0, 1, 2, 3].map((i) => [
    ...[0, 1, 2, 3].map((j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row, k) => sum + row[i]! * wanted[k]!, 0),
  ]);
  const solved = solve(normal);
  if (!solved) return undefined;
  const [z, y, x, rest] = solved as [number, number, number, number];
  const squared = rest + z ** 2 + y ** 2 + x ** 2;
  return squared > 0 ? { centre: [z, y, x], radius: Math.sqrt(squared) } : undefined;
}

/** Gaussian elimination with pivots; the last column is the right side. */
function solve(matrix: number[][]): number[] | undefined {
  const size = matrix.length;
  for (let i = 0; i < size; i++) {
    const pivot = matrix.slice(i).reduce((best, row, k) => (Math.abs(row[i]!) > Math.abs(matrix[best]![i]!) ? i + k : best), i);
    [matrix[i], matrix[pivot]] = [matrix[pivot]!, matrix[i]!];
    if (Math.abs(matrix[i]![i]!) < 1e-9) return undefined;
    for (let k = 0; k < size; k++) {
      if (k === i) continue;
      const factor = matrix[k]![i]! / matrix[i]![i]!;
      matrix[k] = matrix[k]!.map((value, j) => value - factor * matrix[i]![j]!);
    }
  }
  return matrix.map((row, i) => row[size]! / row[i]!);
}

const distance = (a: Voxel, b: Voxel): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

const middleOf = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Directions spread evenly over the sphere (Fibonacci lattice). */
const sphere: Voxel[] = Array.from({ length: directions }, (_, i) => {
  const z = 1 - (2 * i + 1) / directions;
  const angle = i * Math.PI * (3 - Math.sqrt(5));
  return [z, Math.sqrt(1 - z * z) * Math.sin(angle), Math.sqrt(1 - z * z) * Math.cos(angle)];
});
