import { failure, type Outcome, success } from '../outcome.js';
import { decodeJpegDct } from './jpeg-dct.js';
import { decodeJpegLossless } from './jpeg-lossless.js';
import { jpegPrecision } from './jpeg-segments.js';
import type { ImageHeader } from './read-image.js';
import { decodeRle } from './rle.js';
import { transferSyntax } from './transfer-syntax.js';
import { htj2kCodec, jpeg2000Codec, jpegCodec, jpegLsCodec } from './wasm-codecs.js';

/** Stored values of one frame, samples interleaved by pixel, `rows * columns * samplesPerPixel` of them. */
export type Samples = Int16Array | Uint16Array | Uint8Array;

type FrameDecoder = (bytes: Uint8Array, header: ImageHeader) => Promise<Uint8Array> | Uint8Array;

const native: FrameDecoder = (bytes) => bytes;
const jpegLossless: FrameDecoder = (bytes) => viewOf(decodeJpegLossless(bytes));
const jpeg: FrameDecoder = (bytes, header) =>
  jpegPrecision(bytes) === 8
    ? decodeWith(async () => (await jpegCodec()).JPEGDecoder)(bytes, header)
    : viewOf(decodeJpegDct(bytes));
const jpegLs = decodeWith(async () => (await jpegLsCodec()).JpegLSDecoder);
const jpeg2000 = decodeWith(async () => (await jpeg2000Codec()).J2KDecoder);
const htj2k = decodeWith(async () => (await htj2kCodec()).HTJ2KDecoder);

/** How each transfer syntax is decoded to little-endian bytes. */
const decoders: Record<string, FrameDecoder> = {
  [transferSyntax.implicitLittleEndian]: native,
  [transferSyntax.explicitLittleEndian]: native,
  [transferSyntax.deflatedExplicitLittleEndian]: native,
  [transferSyntax.explicitBigEndian]: (bytes, { bitsAllocated }) => (bitsAllocated === 16 ? Buffer.from(bytes).swap16() : bytes),
  [transferSyntax.rleLossless]: decodeRle,
  [transferSyntax.jpegBaseline]: jpeg,
  [transferSyntax.jpegExtended]: jpeg,
  [transferSyntax.jpegSpectralSelection]: jpeg,
  [transferSyntax.jpegFullProgression]: jpeg,
  [transferSyntax.jpegLossless]: jpegLossless,
  [transferSyntax.jpegLosslessFirstOrder]: jpegLossless,
  [transferSyntax.jpegLsLossless]: jpegLs,
  [transferSyntax.jpegLsNearLossless]: jpegLs,
  [transferSyntax.jpeg2000Lossless]: jpeg2000,
  [transferSyntax.jpeg2000]: jpeg2000,
  [transferSyntax.htj2kLossless]: htj2k,
  [transferSyntax.htj2kLosslessRpcl]: htj2k,
  [transferSyntax.htj2k]: htj2k,
};

export const readableTransferSyntaxes: readonly string[] = Object.keys(decoders);

/**
 * Decodes the bytes of one frame to stored values, sign-extended from Bits Stored (PS3.5 section 8). `not-applicable` for a transfer
 * syntax that is not known, `malformed-input` for bytes that do not decode to the size that the header promises.
 */
export async function decodeFrame(bytes: Uint8Array, header: ImageHeader): Promise<Outcome<Samples>> {
  const decode = decoders[header.transferSyntaxUid];
  if (!decode) return failure('not-applicable', 'The transfer syntax is not supported.');
  const count = header.rows * header.columns * header.samplesPerPixel;
  try {
    const decoded = await decode(bytes, header);
    const bytesPerSample = decoded.length === count ? 1 : 2;
    if (decoded.length !== count * bytesPerSample)
      return failure('malformed-input', 'A frame decodes to another size than its header says.');
    return success(storedValues(decoded, bytesPerSample, header));
  } catch {
    // Decoders throw whatever they like (wasm ones throw numbers) on bytes they cannot read.
    return failure('malformed-input', 'A frame cannot be decoded.');
  }
}

function decodeWith(decoderClass: () => Promise<new () => CodecDecoder>): FrameDecoder {
  return async (bytes) => {
    const Decoder = await decoderClass();
    const decoder = new Decoder();
    try {
      decoder.getEncodedBuffer(bytes.length).set(bytes);
      decoder.decode();
      return decoder.getDecodedBuffer().slice();
    } finally {
      decoder.delete();
    }
  };
}

/** Bits above Bits Stored may hold anything (old overlays), so they are cut off and the sign is put back. */
function storedValues(bytes: Uint8Array, bytesPerSample: number, { bitsStored, signed }: ImageHeader): Samples {
  if (bytesPerSample === 1) return signed ? Int16Array.from(new Int8Array(exactBuffer(bytes))) : bytes;
  const values = signed ? new Int16Array(exactBuffer(bytes)) : new Uint16Array(exactBuffer(bytes));
  const spare = 32 - bitsStored;
  if (bitsStored < 16)
    for (let i = 0; i < values.length; i++) values[i] = signed ? (values[i]! << spare) >> spare : (values[i]! << spare) >>> spare;
  return values;
}

const viewOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** A buffer of its own, aligned for 16-bit values. */
const exactBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
