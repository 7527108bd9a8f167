import type { ImagePixel } from './image-pixel.js';

/** Decodes an RLE frame (PS3.5 Annex G) to little-endian bytes, samples interleaved. Throws RangeError on a damaged frame. */
export function decodeRle(bytes: Uint8Array, header: ImagePixel): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bytesPerSample = header.bitsAllocated / 8;
  const segments = view.getUint32(0, true);
  if (segments !== header.samplesPerPixel * bytesPerSample) throw new RangeError('Unexpected number of RLE segments');
  const decoded = new Uint8Array(header.rows * header.columns * segments);
  for (let segment = 0; segment < segments; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < segments ? view.getUint32(8 + 4 * segment, true) : bytes.length;
    // The most significant byte of a sample comes first in RLE and last in little endian.
    const sample = Math.floor(segment / bytesPerSample);
    const place = sample * bytesPerSample + (bytesPerSample - 1 - (segment % bytesPerSample));
    unpackBits(bytes.subarray(start, end), decoded, place, segments);
  }
  return decoded;
}

function unpackBits(packed: Uint8Array, out: Uint8Array, first: number, step: number): void {
  let at = first;
  for (let i = 0; i < packed.length && at < out.length; ) {
    const control = packed[i++]!;
    if (control === 128) continue;
    const run = control > 128;
    const count = run ? 257 - control : control + 1;
    for (let n = 0; n < count && at < out.length; n++, at += step) out[at] = packed[run ? i : i + n] ?? 0;
    i += run ? 1 : count;
  }
  if (at < out.length) throw new RangeError('RLE segment is too short');
}
