import type { Cavity } from './cavity.js';
import type { HeadGrid } from './head-volume.js';

/** What the graph says about each voxel. */
export interface Densities {
  light: Float32Array;
  surroundings: Float32Array;
  seed: Float32Array;
}

/** Dense tissue that hangs together. */
export interface Region {
  voxels: number[];
  /** Mean density, and that of the brain around it, Hounsfield units. */
  hounsfield: number;
  around: number;
}

/** Regions grow from their seeds by at most this: the rim that the graph left out and the soft edge, mm. */
const reach = 5;
/** What is denser is calcium or bone. */
const calcium = 105;

/** The seeds that hang together, each grown to its edge: half-way between its own density and that of the brain around it. */
export function denseRegions(densities: Densities, cavity: Cavity, grid: HeadGrid): Region[] {
  const owner = new Int32Array(densities.seed.length);
  return seedParts(densities.seed, grid)
    .sort((a, b) => b.length - a.length)
    .flatMap((part, i) => grown(part, i + 1, owner, densities, cavity, grid) ?? []);
}

function seedParts(seed: Float32Array, grid: HeadGrid): number[][] {
  const left = Uint8Array.from(seed);
  const parts: number[][] = [];
  for (let start = 0; start < left.length; start++) {
    if (!left[start]) continue;
    const part = [start];
    left[start] = 0;
    for (let next = 0; next < part.length; next++) {
      for (const i of neighbours(part[next]!, grid)) {
        if (!left[i]) continue;
        left[i] = 0;
        part.push(i);
      }
    }
    parts.push(part);
  }
  return parts;
}

/** Undefined where another region has taken the seeds. */
function grown(
  part: number[],
  name: number,
  owner: Int32Array,
  { light, surroundings }: Densities,
  { mask }: Cavity,
  grid: HeadGrid,
): Region | undefined {
  const seeds = part.filter((i) => owner[i] === 0);
  if (seeds.length === 0) return undefined;
  const mean = (values: Float32Array) => seeds.reduce((sum, i) => sum + values[i]!, 0) / seeds.length;
  const [hounsfield, around] = [mean(light), mean(surroundings)];
  const edge = (hounsfield + around) / 2;
  for (const i of seeds) owner[i] = name;
  const voxels = [...seeds];
  let shell = seeds;
  for (let step = 0; step < Math.round(reach / Math.sqrt(grid.pixel.x * grid.pixel.y)); step++) {
    const next: number[] = [];
    for (const from of shell) {
      for (const i of neighbours(from, grid, step === 0)) {
        if (owner[i] !== 0 || !mask[i] || light[i]! < edge || light[i]! > calcium) continue;
        owner[i] = name;
        next.push(i);
      }
    }
    voxels.push(...next);
    shell = next;
  }
  return { voxels, hounsfield, around };
}

/** Over faces; within the plane only, where it is asked for. */
function neighbours(i: number, { rows, columns, planes }: HeadGrid, acrossPlanes = true): number[] {
  const column = i % columns;
  const row = Math.floor(i / columns) % rows;
  const size = rows * columns;
  const out: number[] = [];
  if (column > 0) out.push(i - 1);
  if (column < columns - 1) out.push(i + 1);
  if (row > 0) out.push(i - columns);
  if (row < rows - 1) out.push(i + columns);
  if (!acrossPlanes) return out;
  if (i >= size) out.push(i - size);
  if (i < (planes.length - 1) * size) out.push(i + size);
  return out;
}
