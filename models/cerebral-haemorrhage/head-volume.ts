import { type CtVolume, readCtVolume } from '../dicom/ct-volume.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';

/** A head CT on the grid of the model: pixels of about 1 mm, thin slices joined; planes from foot to head. */
export interface HeadGrid {
  hounsfield: Float32Array;
  planes: Plane[];
  rows: number;
  columns: number;
  /** Edges of a pixel, mm. */
  pixel: { x: number; y: number };
  /** How many pixels of a slice make one of the grid, each way. */
  joined: number;
  /** The volume that it was made of, without its voxels. */
  volume: Omit<CtVolume, 'hounsfield'>;
}

export interface Plane {
  /** Middle, above the first slice along the normal, mm. */
  height: number;
  /** What of the height belongs to this plane, mm: the planes together leave no gap and count nothing twice. */
  thickness: number;
  /** The slices in it: first and last. */
  first: number;
  last: number;
}

/** Reads the study's best axial series of a head, without contrast agent, and brings it to the grid of the model. */
export async function readHead(
  paths: string[],
  { accepts, parameters }: Manifest,
  progress: (share: number) => void,
): Promise<Outcome<HeadGrid>> {
  if (!accepts.volume) return failure('invalid-model', 'The manifest does not say which volumes the model accepts.');
  const read = await readCtVolume(paths, { ...accepts.volume, transferSyntaxes: accepts.transferSyntaxes }, progress);
  if (!read.ok) return read;
  const { bodyPart } = read.value;
  if (bodyPart && !accepts.bodyPartExamined.includes(bodyPart))
    return failure('not-applicable', 'The series shows another part of the body.');
  return success(toGrid(read.value, parameters['pixelMm']!, parameters['planeMm']!));
}

function toGrid({ hounsfield: source, ...volume }: CtVolume, pixelMm: number, planeMm: number): HeadGrid {
  const { spacing } = volume;
  const joined = Math.max(1, Math.round(pixelMm / Math.sqrt(spacing.x * spacing.y)));
  const [rows, columns] = [Math.floor(volume.rows / joined), Math.floor(volume.columns / joined)];
  const planes = planesOf(volume.planes, planeMm);
  const hounsfield = new Float32Array(planes.length * rows * columns);
  planes.forEach(({ first, last }, plane) => {
    const target = hounsfield.subarray(plane * rows * columns, (plane + 1) * rows * columns);
    const weight = 1 / (joined * joined * (last - first + 1));
    for (let slice = first; slice <= last; slice++) addSlice(source, slice, volume, joined, weight, target, columns);
  });
  return { hounsfield, planes, rows, columns, pixel: { x: spacing.x * joined, y: spacing.y * joined }, joined, volume };
}

function addSlice(
  source: Int16Array,
  slice: number,
  { rows, columns }: Pick<CtVolume, 'rows' | 'columns'>,
  joined: number,
  weight: number,
  target: Float32Array,
  width: number,
): void {
  for (let row = 0; row < Math.floor(rows / joined) * joined; row++) {
    const from = (slice * rows + row) * columns;
    const to = Math.floor(row / joined) * width;
    for (let column = 0; column < width * joined; column++)
      target[to + Math.floor(column / joined)]! += weight * source[from + column]!;
  }
}

/** Joins slices that are thinner than a plane; each plane gets what lies nearer to its slices than to others. */
function planesOf(slices: { height: number }[], planeMm: number): Plane[] {
  const heights = slices.map(({ height }) => height);
  const edge = (i: number) =>
    i === 0
      ? 1.5 * heights[0]! - 0.5 * heights[1]!
      : i === heights.length
        ? 1.5 * heights.at(-1)! - 0.5 * heights.at(-2)!
        : (heights[i - 1]! + heights[i]!) / 2;
  const planes: Plane[] = [];
  for (let first = 0; first < heights.length; ) {
    const thin = edge(first + 1) - edge(first);
    const last = Math.min(heights.length, first + Math.max(1, Math.round(planeMm / thin))) - 1;
    const [low, high] = [edge(first), edge(last + 1)];
    planes.push({ height: (low + high) / 2, thickness: high - low, first, last });
    first = last + 1;
  }
  return planes;
}
