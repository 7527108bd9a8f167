import { failure, type Outcome, success } from '../outcome.js';
import { type CtImage, isAxialCt, without } from './ct-series.js';
import { type CtVolume, readHeaders, readPlane } from './ct-volume.js';

/** An axial CT slice on its own, in Hounsfield units. */
export interface CtSlice {
  hounsfield: Int16Array;
  columns: number;
  rows: number;
  /** Between columns and rows, mm. */
  spacing: { x: number; y: number };
  /** Directions of a row and of a column, as unit vectors in the patient's space. */
  axes: { x: number[]; y: number[] };
  studyInstanceUid: string;
  seriesInstanceUid: string;
  /** Body Part Examined (0018,0015), upper case; empty where it is not stated. */
  bodyPart: string;
  instance: CtVolume['instances'][number];
}

export interface SliceLimits {
  /** Accepted transfer syntaxes; a slice with another is left aside. */
  transferSyntaxes: readonly string[];
  mostSlices: number;
  /** Pixels of all slices together. */
  mostVoxels: number;
}

/**
 * Reads the axial CT slices of a study that make no volume: too few, of several series, or far apart. `not-applicable` where there is
 * none, or more than may be read.
 */
export async function readCtSlices(paths: string[], limits: SliceLimits): Promise<Outcome<CtSlice[]>> {
  const images = await readHeaders(paths);
  if (!images.ok) return images;
  const axial = new Map(images.value.filter(isAxialCt).map((image) => [image.header.sopInstanceUid, image]));
  const chosen = [...axial.values()].filter(({ header }) => limits.transferSyntaxes.includes(header.transferSyntaxUid));
  if (chosen.length === 0) return without(images.value, 'The study holds no axial CT slice that the model accepts.');
  const pixels = chosen.reduce((sum, { header }) => sum + header.rows * header.columns, 0);
  if (chosen.length > limits.mostSlices || pixels > limits.mostVoxels)
    return failure('not-applicable', 'The study holds many axial CT slices that make no volume.');
  const slices: CtSlice[] = [];
  for (const image of chosen) {
    const slice = await readSlice(image);
    if (!slice.ok) return slice;
    slices.push(slice.value);
  }
  return success(slices);
}

async function readSlice(image: CtImage): Promise<Outcome<CtSlice>> {
  const { rows, columns, pixelSpacing, orientation, studyInstanceUid, seriesInstanceUid, bodyPart } = image.header;
  const hounsfield = new Int16Array(rows * columns);
  const read = await readPlane(image, hounsfield);
  if (!read.ok) return read;
  return success({
    hounsfield,
    columns,
    rows,
    spacing: { x: pixelSpacing![1]!, y: pixelSpacing![0]! },
    axes: { x: orientation!.slice(0, 3), y: orientation!.slice(3) },
    studyInstanceUid,
    seriesInstanceUid,
    bodyPart: bodyPart.toUpperCase(),
    instance: read.value,
  });
}
