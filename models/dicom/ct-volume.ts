import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeFrame } from '../../connectors/dicom/pixels/decode-frame.js';
import { PixelProblem } from '../../connectors/dicom/pixels/problem.js';
import type { Samples } from '../../connectors/dicom/pixels/stored-values.js';
import { failure, type Outcome, success } from '../outcome.js';
import { type CtImage, chooseCtSeries, type SeriesLimits } from './ct-series.js';
import { type ImageHeader, readFrame, readHeader } from './read-image.js';

/** An axial CT series as one block of Hounsfield units: planes from foot to head, then rows, then columns. */
export interface CtVolume {
  hounsfield: Int16Array;
  columns: number;
  rows: number;
  slices: number;
  /** Between columns, rows and planes, mm. */
  spacing: { x: number; y: number; z: number };
  /** Centre of the first voxel in the patient's space, mm. */
  origin: number[];
  /** Directions of a row, of a column and from plane to plane, as unit vectors. */
  axes: { x: number[]; y: number[]; z: number[] };
  studyInstanceUid: string;
  seriesInstanceUid: string;
  /** Body Part Examined (0018,0015), upper case; empty where the series has none. */
  bodyPart: string;
  /** The planes in order: identity, and SHA-256 (hex) of the file. */
  instances: { sopInstanceUid: string; sha256: string }[];
  /** Of the planes in order: centre of the first voxel in the patient's space, and height above the first plane along their normal, mm. */
  planes: { position: number[]; height: number }[];
}

export interface VolumeLimits extends SeriesLimits {
  /** Accepted transfer syntaxes; the study does not fit when the chosen series has another. */
  transferSyntaxes: readonly string[];
  mostVoxels: number;
}

/** Lowest value kept: CT scanners write -2000 or less for what lies outside the field of view. */
const air = -1024;

/**
 * Reads the files of a study and makes a volume of its best axial CT series. Objects of other kinds are left aside.
 * `progress` gets the share of the work that is done, 0 to 1.
 */
export async function readCtVolume(
  paths: string[],
  limits: VolumeLimits,
  progress: (share: number) => void = () => undefined,
): Promise<Outcome<CtVolume>> {
  const images = await readHeaders(paths);
  if (!images.ok) return images;
  const chosen = chooseCtSeries(images.value, limits);
  if (!chosen.ok) return chosen;
  const planes = chosen.value;
  const { rows, columns } = planes[0]!.header;
  if (planes.some(({ header }) => !limits.transferSyntaxes.includes(header.transferSyntaxUid))) {
    return failure('not-applicable', 'The model does not accept the transfer syntax of the series.');
  }
  if (rows * columns * planes.length > limits.mostVoxels)
    return failure('not-applicable', 'The series is too large for this model.');
  const hounsfield = new Int16Array(rows * columns * planes.length);
  const instances: CtVolume['instances'] = [];
  for (const [index, plane] of planes.entries()) {
    const read = await readPlane(plane, hounsfield.subarray(index * rows * columns, (index + 1) * rows * columns));
    if (!read.ok) return read;
    instances.push(read.value);
    progress((index + 1) / planes.length);
  }
  return success({
    hounsfield,
    columns,
    rows,
    slices: planes.length,
    ...geometry(planes[0]!.header, planes.at(-1)!.header, planes.length),
    planes: placesOf(planes),
    instances,
  });
}

/** A file that cannot be read may be a slice that is missed without anyone noticing, so it stops the study. */
export async function readHeaders(paths: string[]): Promise<Outcome<CtImage[]>> {
  const images: CtImage[] = [];
  for (const path of paths) {
    const header = readHeader(await readFile(path));
    if (!header.ok) return header;
    images.push({ path, header: header.value });
  }
  return success(images);
}

/** Decodes one file into its plane by the modality look-up (PS3.3 C.11.1): stored value * slope + intercept. */
export async function readPlane({ path, header }: CtImage, plane: Int16Array): Promise<Outcome<CtVolume['instances'][number]>> {
  const bytes = await readFile(path);
  const frame = readFrame(bytes, header);
  if (!frame.ok) return frame;
  const decoded = await storedValues(frame.value, header);
  if (!decoded.ok) return decoded;
  const { rescaleSlope: slope, rescaleIntercept: intercept } = header;
  const stored = decoded.value;
  // What a scanner fills the corners with is no tissue, however high its stored value.
  const [low, high] = header.padding ?? [1, 0];
  for (let i = 0; i < plane.length; i++) {
    const value = stored[i]!;
    const hounsfield = value >= low && value <= high ? air : value * slope + intercept;
    plane[i] = hounsfield < air ? air : hounsfield > 32767 ? 32767 : hounsfield;
  }
  return success({ sopInstanceUid: header.sopInstanceUid, sha256: createHash('sha256').update(bytes).digest('hex') });
}

async function storedValues(frame: Uint8Array, header: ImageHeader): Promise<Outcome<Samples>> {
  try {
    return success((await decodeFrame(frame, header)).samples);
  } catch (error) {
    if (!(error instanceof PixelProblem)) throw error;
    return failure(error.code === 'unsupported' ? 'not-applicable' : 'malformed-input', error.message);
  }
}

function geometry(first: ImageHeader, last: ImageHeader, slices: number) {
  // A tilted gantry shifts the planes against one another, so the way up need not be the normal of a plane.
  const way = last.position!.map((value, i) => value - first.position![i]!);
  const length = Math.hypot(...way);
  return {
    spacing: { x: first.pixelSpacing![1]!, y: first.pixelSpacing![0]!, z: length / (slices - 1) },
    origin: first.position!,
    axes: { x: first.orientation!.slice(0, 3), y: first.orientation!.slice(3), z: way.map((value) => value / length) },
    studyInstanceUid: first.studyInstanceUid,
    seriesInstanceUid: first.seriesInstanceUid,
    bodyPart: first.bodyPart.toUpperCase(),
  };
}

function placesOf(planes: CtImage[]): CtVolume['planes'] {
  const { orientation, position: first } = planes[0]!.header;
  const [rx, ry, rz, cx, cy, cz] = orientation as [number, number, number, number, number, number];
  const normal = [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
  const upward = normal[2]! > 0 ? 1 : -1;
  return planes.map(({ header }) => {
    const position = header.position!;
    return { position, height: upward * normal.reduce((sum, n, i) => sum + n * (position[i]! - first![i]!), 0) };
  });
}
