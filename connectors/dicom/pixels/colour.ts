import type { DicomJson } from '../values.js';
import type { DecodedFrame } from './decode-frame.js';
import type { ImagePixel } from './image-pixel.js';
import { type LookupTable, lookedUp, lookupTable } from './lookup-table.js';
import { PixelProblem } from './problem.js';
import type { Samples } from './stored-values.js';

/** Palette Color Lookup Tables (PS3.3 C.7.6.3.1.5), by the low byte of their tags. */
const palette = ['1', '2', '3'].map((n) => ({ descriptor: `0028110${n}`, data: `0028120${n}`, segmented: `0028122${n}` }));

/** Whether Photometric Interpretation is one of grey values (PS3.3 C.7.6.3.1.2). */
export const isGrey = (photometricInterpretation: string): boolean => photometricInterpretation.startsWith('MONOCHROME');

/**
 * A colour frame as RGB, 8 bits a sample, interleaved.
 * @throws PixelProblem `unsupported` for colour spaces that are retired, `malformed` for a palette that is missing or short.
 */
export function toRgb(frame: DecodedFrame, header: DicomJson, { bitsStored, signed }: ImagePixel): Uint8Array {
  const { photometricInterpretation: space, samples } = frame;
  if (space === 'PALETTE COLOR') return throughPalette(samples, header, signed);
  if (frame.samplesPerPixel !== 3) throw new PixelProblem('malformed', 'A colour image has one sample a pixel.');
  const bytes = eightBits(samples, bitsStored);
  if (space === 'RGB' || space === 'YBR_RCT' || space === 'YBR_ICT') return bytes;
  if (space === 'YBR_FULL') return fromYcbcr(bytes, fullRange);
  if (/^YBR_PARTIAL_4(20|22)$/.test(space)) return fromYcbcr(bytes, videoRange);
  throw new PixelProblem('unsupported', 'The colour space of the image is not supported.');
}

/** Bytes are taken as they are: a photograph has tens of millions. */
function eightBits(samples: Samples, bitsStored: number): Uint8Array {
  if (samples instanceof Uint8Array) return samples;
  const shift = Math.max(0, bitsStored - 8);
  const out = new Uint8Array(samples.length);
  for (let i = 0; i < out.length; i++) out[i] = samples[i]! >> shift;
  return out;
}

function throughPalette(samples: Samples, header: DicomJson, signed: boolean): Uint8Array {
  const tables = palette.map((tags) => lookupTable(header, tags, signed));
  if (!tables.every((table) => table !== undefined)) throw new PixelProblem('malformed', 'The palette of the image is missing.');
  const out = new Uint8Array(samples.length * 3);
  const shifts = (tables as LookupTable[]).map(({ entries, bits }) =>
    bits > 8 && entries.some((entry) => entry > 255) ? bits - 8 : 0,
  );
  for (let i = 0; i < samples.length; i++)
    for (let c = 0; c < 3; c++) out[i * 3 + c] = lookedUp(tables[c]!, samples[i]!) >> shifts[c]!;
  return out;
}

/** Of YBR_FULL all of 0 to 255 is used, of YBR_PARTIAL what video uses (PS3.3 C.7.6.3.1.2). */
const fullRange = { black: 0, luma: 1, red: 1.402, green: [0.344136, 0.714136], blue: 1.772 } as const;
const videoRange = { black: 16, luma: 1.1644, red: 1.596, green: [0.3917, 0.8129], blue: 2.0173 } as const;

function fromYcbcr(bytes: Uint8Array, range: typeof fullRange | typeof videoRange): Uint8Array {
  const out = new Uint8ClampedArray(bytes.length);
  for (let i = 0; i < bytes.length; i += 3) {
    const y = (bytes[i]! - range.black) * range.luma;
    const [cb, cr] = [bytes[i + 1]! - 128, bytes[i + 2]! - 128];
    out[i] = y + range.red * cr;
    out[i + 1] = y - range.green[0] * cb - range.green[1] * cr;
    out[i + 2] = y + range.blue * cb;
  }
  return new Uint8Array(out.buffer);
}
