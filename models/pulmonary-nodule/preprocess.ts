import { crop, resample } from '../chest/grid.js';
import { closedLungMask, type LungMask, sizes } from '../chest/lung-mask.js';
import { type CtVolume, readCtVolume } from '../dicom/ct-volume.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';

/** A chest CT on the grid of the model, cut to the lungs. */
export interface LungGrid {
  hounsfield: Float32Array;
  /** 1 inside the closed lungs, else 0. */
  lung: Uint8Array;
  /** Sizes in voxels. */
  shape: [planes: number, rows: number, columns: number];
  /** Index of the first voxel on the grid of the whole volume. */
  low: [planes: number, rows: number, columns: number];
  /** Edge of a voxel, mm. */
  voxel: number;
  airMl: number;
  /** The volume that it was made of. */
  volume: CtVolume;
}

/** Reads the study's best axial CT series and brings it to the model's grid. `not-applicable` where no lungs are seen. */
export async function preprocess(
  paths: string[],
  manifest: Manifest,
  progress: (share: number) => void,
): Promise<Outcome<LungGrid>> {
  const { accepts, parameters } = manifest;
  if (!accepts.volume) return failure('invalid-model', 'The manifest does not say which volumes the model accepts.');
  const limits = { ...accepts.volume, transferSyntaxes: accepts.transferSyntaxes };
  const read = await readCtVolume(paths, limits, progress);
  if (!read.ok) return read;
  const volume = read.value;
  const [voxel, closing, leastAir] = [parameters['voxelMm']!, parameters['closingMm']!, parameters['leastAirMl']!];
  if (volume.bodyPart && !accepts.bodyPartExamined.includes(volume.bodyPart)) {
    return failure('not-applicable', 'The series shows another part of the body.');
  }
  const grid = resample(volume, voxel);
  const mask = closedLungMask(grid, voxel, closing);
  if (!mask || mask.airMl < leastAir) return failure('not-applicable', 'No lungs are seen in the series.');
  return success(cutToLungs(grid, mask, voxel, volume));
}

function cutToLungs(grid: ReturnType<typeof resample>, mask: LungMask, voxel: number, volume: LungGrid['volume']): LungGrid {
  const hounsfield = crop(grid.values, grid, mask.box);
  return { hounsfield, lung: mask.closed, shape: sizes(mask.box), low: mask.box.low, voxel, airMl: mask.airMl, volume };
}
