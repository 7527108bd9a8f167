import { add, lengthOf, normalized, type PhantomVolume, paintSolid, type Vector } from './volume.js';
import { between } from './random.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { abs, cos, hypot, max, min, sqrt } = Math;

/** Half the height of the lungs, mm, for a scan of that height: the lungs always lie inside the scan. */
export const lungHalfHeight = (scanHeight: number): number => min(125, 0.46 * scanHeight);

/**
 * Whether a point lies in a lung: inside the rib cage, which narrows to the apex, above the domes of the diaphragm, and beside the
 * mediastinum and the heart.
 */
export function inLung([x, y, z]: Vector, halfHeight: number): boolean {
  const narrowing = z > 0 ? sqrt(max(0, 1 - (z / halfHeight) ** 2)) : 1;
  if ((x / (138 * narrowing)) ** 2 + (y / (92 * narrowing)) ** 2 > 1) return false;
  const dome = 1 - ((abs(x) - 70) / 75) ** 2 - (y / 100) ** 2;
  if (z < -halfHeight + 40 * max(0, dome)) return false;
  return !inMediastinum(x, y, z, halfHeight);
}

function inMediastinum(x: number, y: number, z: number, halfHeight: number): boolean {
  const widening = 26 + 8 * cos(z / 23) + (y > 40 ? 10 : 0);
  if (abs(x) < widening) return true;
  return ((x - 30) / 52) ** 2 + ((y + 22) / 48) ** 2 + ((z + 0.4 * halfHeight) / 55) ** 2 < 1;
}

/** Hounsfield units of the trunk without what is inside the lungs: wall, ribs, spine, mediastinum, belly, table. */
export function chestTissue(halfHeight: number): (x: number, y: number, z: number) => number {
  return (x, y, z) => {
    const skin = (x / 172) ** 2 + (y / 122) ** 2;
    if (skin > 1) return y > 124 && y < 130 && abs(x) < 180 ? -150 : -1000;
    if (inLung([x, y, z], halfHeight)) return -850 + 0.35 * y;
    if (inSpine(x, y)) return (x / 7) ** 2 + ((y - 84) / 7) ** 2 < 1 ? 20 : 250;
    if (skin > 0.86) return -100;
    if (skin > 0.66 && skin < 0.74 && inRib(y, z)) return 420;
    return skin > 0.62 ? 50 : 40;
  };
}

const inSpine = (x: number, y: number): boolean => (x / 19) ** 2 + ((y - 72) / 22) ** 2 < 1;

/** Ribs recur every 24 mm and slope down to the front. */
const inRib = (y: number, z: number): boolean => (((z + 0.35 * y) % 24) + 24) % 24 < 9;

/** Windpipe and main bronchi, air in a soft wall. */
export function paintAirways(volume: PhantomVolume, halfHeight: number): void {
  const carina: Vector = [0, 8, 0.2 * halfHeight];
  paintCapsule(volume, [0, 4, halfHeight * 1.2], carina, 9, 9, -990);
  for (const side of [-1, 1]) paintCapsule(volume, carina, [side * 40, 10, 0.05 * halfHeight], 6.5, 5, -990);
}

/** A tree of vessels from each hilum: tapering, branching cylinders down to a radius of 0.6 mm that keep inside the lungs. */
export function paintVessels(volume: PhantomVolume, halfHeight: number, random: () => number): void {
  const grow = (from: Vector, direction: Vector, radius: number): void => {
    if (radius < 0.6) return;
    const length = between(random, 2, 4) * radius + 8;
    const to = firstInside(from, direction, length, halfHeight, random);
    if (!to) return;
    const end = radius * between(random, 0.8, 0.92);
    paintCapsule(volume, from, to, radius, end, 35, max);
    const onward = normalized(add(to, from, -1));
    grow(to, turned(onward, 0.3, random), end * 0.95);
    grow(to, turned(onward, 0.9, random), end * between(random, 0.5, 0.8));
  };
  for (const side of [-1, 1]) {
    for (let stem = 0; stem < 8; stem++) {
      const hilum: Vector = [side * between(random, 34, 50), between(random, 0, 24), between(random, -0.2, 0.2) * halfHeight];
      const direction = normalized([side * between(random, 0.3, 1), between(random, -0.9, 0.9), between(random, -1, 1)]);
      grow(hilum, direction, between(random, 3, 5.5));
    }
  }
}

/** The end of a branch that stays in the lung, turning away from its wall if need be. */
function firstInside(
  from: Vector,
  direction: Vector,
  length: number,
  halfHeight: number,
  random: () => number,
): Vector | undefined {
  for (let attempt = 0; attempt < 6; attempt++) {
    const to = add(from, turned(direction, 0.4 * attempt, random), length);
    if (inLung(to, halfHeight)) return to;
  }
  return undefined;
}

function turned(direction: Vector, amount: number, random: () => number): Vector {
  return normalized(add(direction, [between(random, -1, 1), between(random, -1, 1), between(random, -1, 1)], amount));
}

function paintCapsule(
  volume: PhantomVolume,
  from: Vector,
  to: Vector,
  startRadius: number,
  endRadius: number,
  hounsfield: number,
  combine?: (there: number, painted: number) => number,
): void {
  const axis = add(to, from, -1);
  const squared = lengthOf(axis) ** 2;
  const widest = max(startRadius, endRadius);
  const low = [0, 1, 2].map((i) => min(from[i]!, to[i]!) - widest) as unknown as Vector;
  const high = [0, 1, 2].map((i) => max(from[i]!, to[i]!) + widest) as unknown as Vector;
  const distance = (x: number, y: number, z: number) => {
    const along = ((x - from[0]) * axis[0] + (y - from[1]) * axis[1] + (z - from[2]) * axis[2]) / squared;
    const t = min(1, max(0, along));
    const radius = startRadius + t * (endRadius - startRadius);
    return hypot(x - from[0] - t * axis[0], y - from[1] - t * axis[1], z - from[2] - t * axis[2]) - radius;
  };
  paintSolid(volume, { low, high }, distance, hounsfield, combine);
}
