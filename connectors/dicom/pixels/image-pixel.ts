import { text } from '../describe.js';
import type { DicomJson } from '../values.js';
import { PixelProblem } from './problem.js';

/** What decoding needs of an image's header: the Image Pixel module (PS3.3 C.7.6.3) and how the pixel data is coded. */
export interface ImagePixel {
  transferSyntaxUid: string;
  rows: number;
  columns: number;
  samplesPerPixel: number;
  photometricInterpretation: string;
  /** 1 for pixel data that holds one colour plane after the other. */
  planarConfiguration: number;
  bitsAllocated: number;
  bitsStored: number;
  highBit: number;
  signed: boolean;
  frames: number;
  /** Float Pixel Data and Double Float Pixel Data hold numbers of this many bits, which have no stored bits of their own. */
  floating?: 32 | 64;
}

/** Pixels of the largest frame: a mammogram has 16 million, and a frame has to fit into the memory of the process that decodes it. */
export const MOST_PIXELS = 100_000_000;
const MOST_FRAMES = 1_000_000;

/**
 * The Image Pixel module of a data set. Number of Frames that is no number is one frame.
 * @throws PixelProblem `malformed` for a header that describes no image, `too-large` for one that is beyond what is decoded.
 */
export function imagePixel(header: DicomJson, transferSyntaxUid: string): ImagePixel {
  const number = (tag: string, otherwise: number) => {
    const value = Number(text(header, tag) ?? otherwise);
    return Number.isSafeInteger(value) ? value : otherwise;
  };
  const floating = header['7FE00008'] ? 32 : header['7FE00009'] ? 64 : undefined;
  const bitsAllocated = floating ?? number('00280100', 0);
  const bitsStored = floating ?? number('00280101', bitsAllocated);
  const image: ImagePixel = {
    transferSyntaxUid,
    rows: number('00280010', 0),
    columns: number('00280011', 0),
    samplesPerPixel: number('00280002', 1),
    photometricInterpretation: text(header, '00280004')?.toUpperCase() ?? 'MONOCHROME2',
    planarConfiguration: number('00280006', 0),
    bitsAllocated,
    bitsStored,
    highBit: floating ? floating - 1 : number('00280102', bitsStored - 1),
    signed: number('00280103', 0) === 1,
    frames: Math.max(1, number('00280008', 1)),
    ...(floating === undefined ? {} : { floating }),
  };
  assertPlausible(image);
  return image;
}

/** @throws PixelProblem for a header that contradicts itself or is beyond what is decoded. */
export function assertPlausible({
  rows,
  columns,
  samplesPerPixel,
  bitsAllocated,
  bitsStored,
  highBit,
  frames,
}: ImagePixel): void {
  const areBits = [1, 8, 16, 32, 64].includes(bitsAllocated) && bitsStored >= 1 && bitsStored <= highBit + 1;
  if (!(rows > 0 && columns > 0 && [1, 3].includes(samplesPerPixel) && areBits && highBit < bitsAllocated))
    throw new PixelProblem('malformed', 'The header describes no image.');
  if (rows * columns > MOST_PIXELS || frames > MOST_FRAMES)
    throw new PixelProblem('too-large', 'The image is larger than is decoded.');
}

/** Two pixels share their colour (PS3.3 C.7.6.3.1.2). */
export const isSubsampled = (photometricInterpretation: string): boolean =>
  /^YBR_(FULL|PARTIAL)_422$/.test(photometricInterpretation);
