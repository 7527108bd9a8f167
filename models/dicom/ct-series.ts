import { failure, type Failure, type Outcome, success } from '../outcome.js';
import type { ImageHeader } from './read-image.js';

/** A header, and where its file lies. */
export interface CtImage {
  path: string;
  header: ImageHeader;
}

export interface SeriesLimits {
  leastSlices: number;
  /** The thickest spacing of slices that is taken, mm. */
  mostSliceSpacingMm: number;
  /** Whether stacks of slices with different spacing may follow each other in a series, as in head CT. Their thickness must be stated. */
  mixedStacks?: boolean | undefined;
  /** Whether series with a contrast agent are left out. */
  withoutContrast?: boolean | undefined;
  /** Whether a series with a smooth kernel comes before one with a sharp kernel that has more planes. */
  smoothKernel?: boolean | undefined;
}

const ctImageStorage = '1.2.840.10008.5.1.4.1.1.2';
/** Enhanced CT Image Storage, Legacy Converted Enhanced CT Image Storage (PS3.4 table B.5-1): many slices in one object, their geometry in functional groups. */
const enhancedCt = new Set(['1.2.840.10008.5.1.4.1.1.2.1', '1.2.840.10008.5.1.4.1.1.2.2']);
/** Cosine of the largest tilt of the planes against the axial one: about 26 degrees. */
const leastAxialCosine = 0.9;

/**
 * Chooses the axial CT series of a study that has most planes, in order from foot to head, localizers and derived images left out; between equals, the one with
 * the lower series number. `not-applicable` where there is none; `malformed-input` where the chosen one lacks a slice, has two at one place or is uneven.
 */
export function chooseCtSeries(images: CtImage[], limits: SeriesLimits): Outcome<CtImage[]> {
  const axial = images.filter(isAxialCt);
  const suited = limits.withoutContrast ? axial.filter(({ header }) => header.contrastAgent === '') : axial;
  if (suited.length < axial.length && suited.length < limits.leastSlices)
    return failure('not-applicable', 'The series were taken with a contrast agent.');
  const groups = [...groupByGeometry(suited, limits).values()];
  const sharp = ([image]: CtImage[]) => (limits.smoothKernel && hasSharpKernel(image!.header) ? 1 : 0);
  const enough = groups.filter(({ length }) => length >= limits.leastSlices);
  const [best] = enough.sort(
    (a, b) => sharp(a) - sharp(b) || b.length - a.length || a[0]!.header.seriesNumber - b[0]!.header.seriesNumber,
  );
  if (!best) return without(images, 'The study holds no axial CT series with enough slices.');
  return inOrder(best, limits);
}

/** Why a study without axial CT is not scored: enhanced CT, where there is any, else as told. */
export const without = (images: CtImage[], otherwise: string): Failure =>
  images.some(({ header }) => enhancedCt.has(header.sopClassUid))
    ? failure('not-applicable', 'The study holds enhanced (multi-frame) CT, which this model does not read.')
    : failure('not-applicable', otherwise);

/** A slice across the body as the scanner made it: no localizer, nothing derived, one frame, with its place and spacing. */
export function isAxialCt({ header }: CtImage): boolean {
  const { modality, sopClassUid, imageType, position, orientation, pixelSpacing, samplesPerPixel, frames } = header;
  if (modality !== 'CT' || sopClassUid !== ctImageStorage || samplesPerPixel !== 1 || frames !== 1) return false;
  if (imageType[0] === 'DERIVED' || imageType.includes('LOCALIZER')) return false;
  return (
    position !== undefined &&
    pixelSpacing !== undefined &&
    orientation !== undefined &&
    Math.abs(normalOf(orientation)[2]!) > leastAxialCosine
  );
}

/** Kernels that manufacturers use for bone and lung: by name, by number (Siemens H60s, Br64, ...; Canon FC30 and above), by letter (Philips). */
const hasSharpKernel = ({ kernel }: ImageHeader): boolean =>
  /BONE|EDGE|LUNG|SHARP|DETAIL/.test(kernel) ||
  /^[A-Z]{1,2}[5-9]\d[A-Z]*$/.test(kernel) ||
  /^FC[3-58]\d$/.test(kernel) ||
  /^(D|E|L|Y[A-D])$/.test(kernel);

/**
 * Planes belong together when they share series, acquisition, size, spacing and direction. A scanner that steps counts each step as an
 * acquisition, so where stacks may be mixed the acquisition does not divide them. The same object sent twice counts once.
 */
function groupByGeometry(images: CtImage[], { mixedStacks }: SeriesLimits): Map<string, CtImage[]> {
  const groups = new Map<string, CtImage[]>();
  for (const image of new Map(images.map((image) => [image.header.sopInstanceUid, image])).values()) {
    const { seriesInstanceUid, acquisitionNumber, rows, columns, pixelSpacing, orientation } = image.header;
    const directions = orientation!.map((cosine) => cosine.toFixed(2));
    const acquisition = mixedStacks ? '' : acquisitionNumber;
    const key = [seriesInstanceUid, acquisition, rows, columns, ...pixelSpacing!, ...directions].join('|');
    groups.set(key, [...(groups.get(key) ?? []), image]);
  }
  return groups;
}

function inOrder(images: CtImage[], limits: SeriesLimits): Outcome<CtImage[]> {
  const normal = normalOf(images[0]!.header.orientation!);
  const upward = normal[2]! > 0 ? 1 : -1;
  const height = ({ header }: CtImage) => upward * dot(header.position!, normal);
  const ordered = [...images].sort((a, b) => height(a) - height(b));
  const steps = ordered.slice(1).map((image, i) => height(image) - height(ordered[i]!));
  const spacing = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)]!;
  if (steps.some((step) => step < 0.05)) return failure('malformed-input', 'Several slices lie at one place.');
  if (limits.mixedStacks && isMixed(ordered, steps)) {
    return steps.some((step) => step > limits.mostSliceSpacingMm) ? tooFarApart : success(ordered);
  }
  if (steps.some((step) => step > 1.5 * spacing)) return failure('malformed-input', 'A slice of the series is missing.');
  if (steps.some((step) => Math.abs(step - spacing) > 0.2 * spacing))
    return failure('malformed-input', 'The slices are unevenly spaced.');
  return spacing > limits.mostSliceSpacingMm ? tooFarApart : success(ordered);
}

const tooFarApart = failure('not-applicable', 'The slices are too far apart for this model.');

/** Whether slices of more than one thickness lie without a gap: each step is bridged by the thicker of its two slices. */
function isMixed(ordered: CtImage[], steps: number[]): boolean {
  const thickness = ordered.map(({ header }) => header.sliceThickness ?? 0);
  if (Math.max(...thickness) - Math.min(...thickness) < 0.1) return false;
  return steps.every((step, i) => step <= 1.2 * Math.max(thickness[i]!, thickness[i + 1]!));
}

function normalOf([rx, ry, rz, cx, cy, cz]: number[]): number[] {
  return [ry! * cz! - rz! * cy!, rz! * cx! - rx! * cz!, rx! * cy! - ry! * cx!];
}

const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
