import type { HeadGrid } from './head-volume.js';
import { closed, depthOf, filled, maskOf, type PlaneSize, separateParts, widened } from './plane-mask.js';

/** The cranial cavity on the grid. */
export interface Cavity {
  /** 1 inside. */
  mask: Uint8Array;
  /** Distance from the wall, mm: within the plane, or up or down where that is shorter. */
  depth: Float32Array;
  /** Area on each plane, mm2. */
  areas: number[];
  volumeMl: number;
}

/** Hounsfield units: bone is denser; fat and air are thinner; muscle, which lies outside the skull, is denser than brain in the middle. */
const [bone, fat, muscle] = [300, -20, 47];
/** Gaps in the bone of a plane up to twice the first are closed, passages narrower than twice the second do not join parts: mm. */
const [closing, opening] = [3, 3];
/** Notches of the outline up to twice this hold the wings of the skull base, with cavity below them, mm. */
const notch = 12;
/** A part belongs to the cavity when so much of it lies under (or over) the cavity of the neighbouring plane. */
const leastOverlap = 0.5;
const leastPartMm2 = 150;
/** The cavity ends below where it is this small against its largest plane: the foramen magnum. */
const leastAreaShare = 0.12;
/** A part is set in fat or air, so belongs to an orbit, a sinus or the neck, when more of its edge than this lies beside them. */
const mostFat = 0.3;

/**
 * The cranial cavity. On each plane, what bone shuts in; the largest such part is certain. Upwards, what lies over it and is shut in. Downwards, where
 * bone shuts in less and less, what lies below it, is no bone and is made of brain: so orbits, sinuses, face and neck are left out. Undefined where no
 * bone shuts in anything.
 */
export function cranialCavity(grid: HeadGrid): Cavity | undefined {
  const { planes, rows, columns, pixel } = grid;
  const size = rows * columns;
  const mm = Math.sqrt(pixel.x * pixel.y);
  const inPlane = <T extends Float32Array | Uint8Array>(values: T, plane: number) =>
    values.subarray(plane * size, (plane + 1) * size) as T;
  const walls = planes.map((_, plane) => wallOf(inPlane(grid.hounsfield, plane), grid, mm));
  const shutIn = walls.map((wall) => within(filled(wall, grid), wall));
  const partsIn = (domain: Uint8Array, plane: number) => brainParts(domain, inPlane(grid.hounsfield, plane), grid, mm);
  const start = indexOfLargest(shutIn.map(areaOf));
  const first = partsIn(shutIn[start]!, start).reduce<number[]>((best, part) => (part.length > best.length ? part : best), []);
  if (first.length * mm * mm < leastPartMm2) return undefined;
  const mask = new Uint8Array(planes.length * size);
  const add = (parts: number[][], plane: number) => put(parts, inPlane(mask, plane), inPlane(grid.hounsfield, plane), grid);
  add([first], start);
  const fitting = (parts: number[][], near: Uint8Array) =>
    parts.filter((part) => part.length * mm * mm >= leastPartMm2 && overlap(part, near) >= leastOverlap);
  for (let plane = start + 1; plane < planes.length; plane++) {
    const parts = fitting(partsIn(shutIn[plane]!, plane), inPlane(mask, plane - 1));
    if (parts.length === 0) break;
    add(parts, plane);
  }
  for (let plane = start - 1; plane >= 0; plane--) {
    const above = inPlane(mask, plane + 1);
    const shadow = within(closed(above, notch / mm, grid), walls[plane]!);
    const parts = fitting(partsIn(shadow, plane), above);
    if (parts.reduce((sum, part) => sum + part.length, 0) < leastAreaShare * first.length) break;
    add(parts, plane);
  }
  return describe(mask, grid);
}

const areaOf = (mask: Uint8Array): number => mask.reduce((sum, value) => sum + value, 0);

const indexOfLargest = (values: number[]): number => values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);

const wallOf = (hounsfield: Float32Array, size: PlaneSize, mm: number): Uint8Array =>
  closed(
    maskOf(hounsfield, (value) => value > bone),
    closing / mm,
    size,
  );

const within = (mask: Uint8Array, wall: Uint8Array): Uint8Array => maskOf(mask, (value, i) => value === 1 && wall[i] === 0);

/** The parts of a mask that are made of brain and fluid, and not set in fat and air. */
function brainParts(mask: Uint8Array, hounsfield: Float32Array, size: PlaneSize, mm: number): number[][] {
  const thin = maskOf(hounsfield, (value) => value < fat);
  const solid = within(mask, thin);
  const nearThin = widened(thin, 2 / mm, size);
  const isEdge = (i: number) => !solid[i - 1] || !solid[i + 1] || !solid[i - size.columns] || !solid[i + size.columns];
  return separateParts(solid, opening / mm, size).filter((part) => {
    const edge = part.filter(isEdge);
    const inFat = edge.reduce((sum, i) => sum + nearThin[i]!, 0);
    return inFat <= mostFat * edge.length && middleOf(part, hounsfield) < muscle;
  });
}

function middleOf(pixels: number[], hounsfield: Float32Array): number {
  const values = Float32Array.from(pixels, (i) => hounsfield[i]!).sort();
  return values[values.length >> 1] ?? Number.POSITIVE_INFINITY;
}

const overlap = (part: number[], near: Uint8Array): number => part.reduce((sum, i) => sum + near[i]!, 0) / part.length;

/** Puts parts into a plane, and the calcium that they shut in. */
function put(parts: number[][], plane: Uint8Array, hounsfield: Float32Array, size: PlaneSize): void {
  if (parts.length === 0) return;
  const mask = new Uint8Array(plane.length);
  for (const i of parts.flat()) mask[i] = 1;
  plane.set(maskOf(filled(mask, size), (value, i) => mask[i] === 1 || (value === 1 && hounsfield[i]! > fat)));
}

function describe(mask: Uint8Array, grid: HeadGrid): Cavity {
  const { planes, rows, columns, pixel } = grid;
  const downwards = [...planes].reverse();
  const size = rows * columns;
  const depth = new Float32Array(mask.length);
  const areas: number[] = [];
  planes.forEach((_, plane) => {
    const part = mask.subarray(plane * size, (plane + 1) * size);
    const distances = depthOf(part, { rows, columns });
    for (let i = 0; i < size; i++) depth[plane * size + i] = distances[i]! * Math.sqrt(pixel.x * pixel.y);
    areas.push(areaOf(part) * pixel.x * pixel.y);
  });
  for (let i = 0; i < size; i++) {
    shortenAlong(depth, i, size, planes);
    shortenAlong(depth, i + (planes.length - 1) * size, -size, downwards);
  }
  return { mask, depth, areas, volumeMl: areas.reduce((sum, area, i) => sum + area * planes[i]!.thickness, 0) / 1000 };
}

/** Walks a column of voxels: none lies farther from the wall than the one before it by more than the way between them. */
function shortenAlong(depth: Float32Array, from: number, step: number, planes: HeadGrid['planes']): void {
  let reachable = 0;
  for (let k = 0, i = from; k < planes.length; k++, i += step) {
    reachable = Math.min(depth[i]!, reachable + planes[k]!.thickness);
    depth[i] = reachable;
  }
}
