import { type TransferSyntaxUid, transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { jpegLsCodec } from '../../connectors/dicom/pixels/wasm-codecs.js';

/** Transfer syntaxes that the phantoms can be written in. */
export type PhantomTransferSyntax = Extract<
  TransferSyntaxUid,
  '1.2.840.10008.1.2' | '1.2.840.10008.1.2.1' | '1.2.840.10008.1.2.1.99' | '1.2.840.10008.1.2.4.80' | '1.2.840.10008.1.2.5'
>;

export interface GreyFrame {
  /** Stored values, row by row, `columns * rows` of them. */
  pixels: Uint16Array;
  columns: number;
  rows: number;
  bitsStored: number;
}

/** The value of Pixel Data (7FE0,0010) for one 16-bit grey frame: native bytes, or fragments where the syntax is encapsulated. */
export async function encodeFrame(
  frame: GreyFrame,
  syntax: PhantomTransferSyntax,
): Promise<Uint8Array | { fragments: Uint8Array[] }> {
  if (syntax === transferSyntax.jpegLsLossless) return { fragments: [await encodeJpegLs(frame)] };
  if (syntax === transferSyntax.rleLossless) return { fragments: [encodeRle(frame)] };
  return bytesOf(frame.pixels);
}

async function encodeJpegLs({ pixels, columns, rows, bitsStored }: GreyFrame): Promise<Uint8Array> {
  const { JpegLSEncoder } = await jpegLsCodec();
  const encoder = new JpegLSEncoder();
  try {
    encoder
      .getDecodedBuffer({ width: columns, height: rows, bitsPerSample: bitsStored, componentCount: 1, isSigned: false })
      .set(bytesOf(pixels));
    encoder.setNearLossless(0);
    encoder.encode();
    return encoder.getEncodedBuffer().slice();
  } finally {
    encoder.delete();
  }
}

/** RLE (PS3.5 Annex G): a header of 16 little-endian words, then the high bytes and the low bytes as a segment each. */
function encodeRle({ pixels, columns, rows }: GreyFrame): Uint8Array {
  const segments = [8, 0].map((shift) => {
    const out: number[] = [];
    for (let row = 0; row < rows; row++) packBits(pixels, row * columns, columns, shift, out);
    if (out.length % 2) out.push(0);
    return Uint8Array.from(out);
  });
  const header = Buffer.alloc(64);
  header.writeUInt32LE(2, 0);
  header.writeUInt32LE(64, 4);
  header.writeUInt32LE(64 + segments[0]!.length, 8);
  return Buffer.concat([header, ...segments]);
}

/** PackBits over one row of one byte plane (PS3.5 G.3.1): runs of two or more, literals between them, at most 128 of each. */
function packBits(pixels: Uint16Array, start: number, count: number, shift: number, out: number[]): void {
  const byte = (i: number) => (pixels[start + i]! >>> shift) & 0xff;
  const runAt = (i: number) => {
    let length = 1;
    while (i + length < count && length < 128 && byte(i + length) === byte(i)) length++;
    return length;
  };
  for (let i = 0; i < count; ) {
    const run = runAt(i);
    if (run > 1) {
      out.push(257 - run, byte(i));
      i += run;
      continue;
    }
    const from = i;
    while (i < count && i - from < 128 && runAt(i) < 3) i++;
    out.push(i - from - 1);
    for (let j = from; j < i; j++) out.push(byte(j));
  }
}

const bytesOf = (pixels: Uint16Array): Uint8Array => new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
