import { inLung } from './chest-anatomy.js';
import { between } from './random.js';
import { add, lengthOf, normalized, type PhantomVolume, paintSolid, type Vector } from './volume.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { PI, acos, cos, max, min, round, sin, sqrt } = Math;

/** A nodule to plant. Without a centre it is placed at random in a lung. */
export interface PlantedNodule {
  diameterMm: number;
  /** Default 30 (solid); a ground-glass nodule has about -500. */
  hounsfield?: number;
  /** Centre in the patient's space, mm. */
  centreMm?: Vector;
  /** Where a nodule without a centre is placed: free in the lung, or reaching into the wall, mediastinum or diaphragm. Default `free`. */
  place?: 'free' | 'wall';
}

export interface NoduleTruth {
  centreMm: Vector;
  diameterMm: number;
  hounsfield: number;
  place: 'free' | 'wall' | 'given';
}

/** `count` nodules of 5 to 20 mm, two in three free in the lung, the others at its wall. */
export function randomNodules(count: number, random: () => number): PlantedNodule[] {
  return Array.from({ length: count }, (_, i) => ({
    diameterMm: round(between(random, 5, 20) * 10) / 10,
    hounsfield: round(between(random, 0, 60)),
    place: i % 3 === 2 ? ('wall' as const) : ('free' as const),
  }));
}

/** Plants the nodules as slightly irregular balls and returns what was planted where. Throws RangeError where there is no room. */
export function plantNodules(
  volume: PhantomVolume,
  nodules: PlantedNodule[],
  halfHeight: number,
  random: () => number,
): NoduleTruth[] {
  const planted: NoduleTruth[] = [];
  for (const { diameterMm, hounsfield = 30, centreMm, place = 'free' } of nodules) {
    const centre = centreMm ?? findRoom(diameterMm / 2, place, planted, halfHeight, random);
    paintBall(volume, centre, diameterMm / 2, hounsfield, random);
    planted.push({ centreMm: centre, diameterMm, hounsfield, place: centreMm ? 'given' : place });
  }
  return planted;
}

function findRoom(
  radius: number,
  place: 'free' | 'wall',
  taken: NoduleTruth[],
  halfHeight: number,
  random: () => number,
): Vector {
  for (let attempt = 0; attempt < 20_000; attempt++) {
    const centre: Vector = [between(random, -140, 140), between(random, -95, 95), between(random, -halfHeight, halfHeight)];
    if (!inLung(centre, halfHeight)) continue;
    if (taken.some((other) => lengthOf(add(centre, other.centreMm, -1)) < radius + other.diameterMm / 2 + 15)) continue;
    const outside = sphere(40).filter(
      (direction) => !inLung(add(centre, direction, radius + (place === 'free' ? 3 : 0)), halfHeight),
    );
    if (place === 'free' ? outside.length === 0 : outside.length >= 3 && outside.length <= 14) return centre;
  }
  throw new RangeError(`No room for a nodule of radius ${radius} mm`);
}

/** Directions spread evenly over the sphere (Fibonacci lattice). */
function sphere(count: number): Vector[] {
  return Array.from({ length: count }, (_, i) => {
    const z = 1 - (2 * i + 1) / count;
    const angle = i * PI * (3 - sqrt(5));
    return [sqrt(1 - z * z) * cos(angle), sqrt(1 - z * z) * sin(angle), z] as const;
  });
}

/** A ball whose surface waves by 8 % of its radius, so that no two look the same while the volume stays. */
function paintBall(volume: PhantomVolume, centre: Vector, radius: number, hounsfield: number, random: () => number): void {
  const lobe = normalized([between(random, -1, 1), between(random, -1, 1), between(random, -1, 1)]);
  const margin: Vector = [radius * 1.2, radius * 1.2, radius * 1.2];
  const distance = (x: number, y: number, z: number) => {
    const offset: Vector = [x - centre[0], y - centre[1], z - centre[2]];
    const length = lengthOf(offset) || 1e-6;
    const cosine = (offset[0] * lobe[0] + offset[1] * lobe[1] + offset[2] * lobe[2]) / length;
    return length - radius * (1 + 0.08 * cos(3 * acos(min(1, max(-1, cosine)))));
  };
  paintSolid(volume, { low: add(centre, margin, -1), high: add(centre, margin) }, distance, hounsfield, max);
}
