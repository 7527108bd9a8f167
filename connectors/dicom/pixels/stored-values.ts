import type { ImagePixel } from './image-pixel.js';
import { PixelProblem } from './problem.js';

export type Samples = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** How decoded bytes hold the samples, beside what the header says. */
export interface Layout {
  /** From a codestream, which has its own number of bytes a sample and no bits beside the stored ones. */
  isCodestream: boolean;
  /** One colour plane after the other. */
  isPlanar?: boolean;
  /** Two pixels in four bytes: Y, Y, Cb, Cr (PS3.3 C.7.6.3.1.2, YBR_FULL_422). */
  isSubsampled?: boolean;
}

/**
 * Values from little-endian bytes of samples (PS3.5 8.1.1): single bits unpacked, interleaved by pixel, cut to the stored bits and sign-extended,
 * the colour of subsampled pixels given to both.
 * @throws PixelProblem `malformed` when there are fewer or more bytes than the header promises.
 */
export function storedValues(bytes: Uint8Array, image: ImagePixel, layout: Layout): Samples {
  const count = image.rows * image.columns * image.samplesPerPixel;
  const stored = layout.isSubsampled ? (count / 3) * 2 : count;
  if (!layout.isCodestream && image.bitsAllocated === 1) return singleBits(bytes, count);
  const width = layout.isCodestream ? bytes.length / count : image.bitsAllocated / 8;
  // A native frame may be followed by a byte of padding.
  const spare = bytes.length - stored * width;
  if (![1, 2, 4, 8].includes(width) || spare < 0 || spare > 1)
    throw new PixelProblem('malformed', 'A frame decodes to another size than its header says.');
  const values = asNumbers(bytes.subarray(0, stored * width), width, image);
  const full = layout.isSubsampled ? upsampled(values, count) : values;
  return withinStoredBits(layout.isPlanar ? interleaved(full, image.samplesPerPixel) : full, width * 8, image, layout);
}

/** One-bit pixels, the first in the lowest bit. */
function singleBits(bytes: Uint8Array, count: number): Uint8Array {
  if (bytes.length * 8 < count) throw new PixelProblem('malformed', 'A frame is shorter than its header says.');
  return Uint8Array.from({ length: count }, (_, i) => (bytes[i >> 3]! >> (i & 7)) & 1);
}

function asNumbers(bytes: Uint8Array, width: number, { signed, floating }: ImagePixel): Samples {
  // A buffer of its own: aligned for wider values, and not the object's, since values are cut to their stored bits where they lie.
  const { buffer } = new Uint8Array(bytes);
  if (floating === 32 && width === 4) return new Float32Array(buffer);
  if (floating === 64 && width === 8) return new Float64Array(buffer);
  if (width === 1) return signed ? new Int8Array(buffer) : new Uint8Array(buffer);
  if (width === 2) return signed ? new Int16Array(buffer) : new Uint16Array(buffer);
  if (width === 4) return signed ? new Int32Array(buffer) : new Uint32Array(buffer);
  throw new PixelProblem('unsupported', 'Pixels of this many bits are not supported.');
}

/** Of the same kind, for other content. */
const another = (samples: Samples, length: number): Samples =>
  new (samples.constructor as new (length: number) => Samples)(length);

function upsampled(pairs: Samples, count: number): Samples {
  const out = another(pairs, count);
  for (let from = 0, to = 0; to < count; from += 4, to += 6) {
    for (const pixel of [0, 1]) {
      out[to + 3 * pixel] = pairs[from + pixel]!;
      out[to + 3 * pixel + 1] = pairs[from + 2]!;
      out[to + 3 * pixel + 2] = pairs[from + 3]!;
    }
  }
  return out;
}

function interleaved(planes: Samples, samplesPerPixel: number): Samples {
  const out = another(planes, planes.length);
  const pixels = planes.length / samplesPerPixel;
  for (let sample = 0; sample < samplesPerPixel; sample++)
    for (let i = 0, to = sample; i < pixels; i++, to += samplesPerPixel) out[to] = planes[sample * pixels + i]!;
  return out;
}

/** Bits above High Bit may hold anything (old overlays), and so may those below the stored ones: both are cut off, and the sign is put back. */
function withinStoredBits(values: Samples, width: number, image: ImagePixel, { isCodestream }: Layout): Samples {
  const { bitsStored, highBit, signed, floating } = image;
  if (floating || bitsStored >= width) return values;
  const unused = isCodestream ? 0 : highBit + 1 - bitsStored;
  const above = 32 - bitsStored - unused;
  const below = above + unused;
  for (let i = 0; i < values.length; i++) values[i] = signed ? (values[i]! << above) >> below : (values[i]! << above) >>> below;
  return values;
}
