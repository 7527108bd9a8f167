import { text } from '../describe.js';
import type { DicomJson } from '../values.js';
import { numbersOf } from './attributes.js';
import { isGrey, toRgb } from './colour.js';
import type { DecodedFrame } from './decode-frame.js';
import type { ImagePixel } from './image-pixel.js';
import { type LookupTable, lookedUp } from './lookup-table.js';
import { type ModalityTransform, modalityTransform } from './modality.js';
import type { Samples } from './stored-values.js';
import { statedWindow, type Window, windowed } from './window.js';

/** A frame as it is looked at: 8 bits a sample, interleaved. */
export interface Picture {
  pixels: Uint8Array;
  columns: number;
  rows: number;
  /** Grey, or RGB. */
  channels: 1 | 3;
}

/**
 * The grayscale transformations of PS3.4 N.2.1 (modality, values of interest, presentation), or the colours of the frame.
 * @param frame counts from 1. @param chosen instead of the window that the image states.
 * @throws PixelProblem
 */
export function present(decoded: DecodedFrame, header: DicomJson, image: ImagePixel, frame: number, chosen?: Window): Picture {
  const { columns, rows, samples } = decoded;
  if (!isGrey(decoded.photometricInterpretation)) return { pixels: toRgb(decoded, header, image), columns, rows, channels: 3 };
  const modality = modalityTransform(header, frame, image.signed);
  const interest = chosen ?? statedWindow(header, frame, image.signed) ?? wholeRange(samples, header, image, modality);
  const grey = greyOf(modality, interest);
  const pixels = throughTable(samples, image, isInverse(decoded, header) ? (value) => 255 - grey(value) : grey);
  return { pixels, columns, rows, channels: 1 };
}

/** From a stored value to grey. */
function greyOf(modality: ModalityTransform, interest: Window | LookupTable): (stored: number) => number {
  const unit =
    'entries' in modality
      ? (stored: number) => lookedUp(modality, stored)
      : (stored: number) => stored * modality.slope + modality.intercept;
  if (!('entries' in interest)) {
    const shown = windowed(interest);
    return (stored) => shown(unit(stored));
  }
  const most = interest.entries.reduce((most, entry) => Math.max(most, entry), 1);
  const scale = 255 / Math.max(most > 255 ? 2 ** interest.bits - 1 : 255, 1);
  return (stored) => lookedUp(interest, Math.round(unit(stored))) * scale;
}

/** Each of at most 65,536 stored values is worked out once. */
function throughTable(
  samples: Samples,
  { bitsStored, signed, floating }: ImagePixel,
  grey: (stored: number) => number,
): Uint8Array {
  const out = new Uint8ClampedArray(samples.length);
  if (floating || bitsStored > 16) for (let i = 0; i < out.length; i++) out[i] = grey(samples[i]!);
  else {
    const lowest = signed ? -(2 ** (bitsStored - 1)) : 0;
    const table = Uint8ClampedArray.from({ length: 2 ** bitsStored }, (_, i) => grey(i + lowest));
    for (let i = 0; i < out.length; i++) out[i] = table[samples[i]! - lowest]!;
  }
  return new Uint8Array(out.buffer);
}

/** MONOCHROME1 and Presentation LUT Shape INVERSE show low values bright (PS3.3 C.7.6.3.1.2, C.11.6.1.2). */
function isInverse({ photometricInterpretation }: DecodedFrame, header: DicomJson): boolean {
  const shape = text(header, '20500020')?.toUpperCase();
  return shape ? shape === 'INVERSE' : photometricInterpretation === 'MONOCHROME1';
}

/** Images of 8 bits are shown as they are; others from their lowest to their highest value, padding (0028,0120) aside. */
function wholeRange(samples: Samples, header: DicomJson, image: ImagePixel, modality: ModalityTransform): Window {
  if ('entries' in modality) {
    const entries = modality.entries.reduce(([low, high], entry) => [Math.min(low!, entry), Math.max(high!, entry)], [65535, 0]);
    return between(entries[0]!, entries[1]!);
  }
  const { slope, intercept } = modality;
  if (image.bitsStored <= 8 && !image.signed) return between(intercept, slope * (2 ** image.bitsStored - 1) + intercept);
  const padding = paddingOf(header, image.signed);
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i]!;
    if (value >= padding.from && value <= padding.to) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low < high)) [low, high] = [Number.isFinite(low) ? low : 0, (Number.isFinite(low) ? low : 0) + 1];
  return between(low * slope + intercept, high * slope + intercept);
}

const between = (one: number, other: number): Window => ({
  center: (one + other) / 2,
  width: Math.abs(other - one) || 1,
  function: 'linear-exact',
});

/** Stored values that are no image: Pixel Padding Value, or the range to Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2); an empty range where none is stated. */
export function paddingOf(header: DicomJson, signed: boolean): { from: number; to: number } {
  // Some writers state it as US whatever the pixels are.
  const stored = (value: number): number => (signed ? (value << 16) >> 16 : value & 0xffff);
  const value = numbersOf(header, '00280120')?.map(stored)[0];
  if (value === undefined) return { from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY };
  const limit = numbersOf(header, '00280121')?.map(stored)[0] ?? value;
  return { from: Math.min(value, limit), to: Math.max(value, limit) };
}
