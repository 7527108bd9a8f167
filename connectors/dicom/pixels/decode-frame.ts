import { type Codestream, readCodestream } from './codestream.js';
import { assertPlausible, type ImagePixel, isSubsampled } from './image-pixel.js';
import { decodeJpegDct } from './jpeg-dct.js';
import { decodeJpeg8 } from './jpeg-8-bit.js';
import { decodeJpegLossless } from './jpeg-lossless.js';
import { PixelProblem } from './problem.js';
import { decodeRle } from './rle.js';
import { type Layout, type Samples, storedValues } from './stored-values.js';
import { transferSyntax } from './transfer-syntax.js';
import { htj2kCodec, jpeg2000Codec, jpegLsCodec } from './wasm-codecs.js';

/** One frame, decoded. */
export interface DecodedFrame {
  rows: number;
  columns: number;
  samplesPerPixel: number;
  /** Stored values, interleaved by pixel, `rows * columns * samplesPerPixel` of them, sign-extended from Bits Stored. */
  samples: Samples;
  /** Of these samples: RGB where the coding had another colour space of its own. */
  photometricInterpretation: string;
}

/** Little-endian bytes of the samples, how they lie, and what became of the colours. */
interface Decoded extends Partial<Layout> {
  bytes: Uint8Array;
  photometricInterpretation?: string;
}

type FrameDecoder = (bytes: Uint8Array, image: ImagePixel, codestream: Codestream | undefined) => Promise<Decoded> | Decoded;

const native: FrameDecoder = (bytes, { planarConfiguration, samplesPerPixel, photometricInterpretation }) => ({
  bytes,
  isSubsampled: samplesPerPixel === 3 && isSubsampled(photometricInterpretation),
  isPlanar: planarConfiguration === 1 && samplesPerPixel > 1,
});
const bigEndian: FrameDecoder = (bytes, image, codestream) => native(swapped(bytes, image.bitsAllocated), image, codestream);
const rle: FrameDecoder = (bytes, image) => ({ bytes: decodeRle(bytes, image) });
const jpegLossless: FrameDecoder = (bytes) => ({ bytes: viewOf(decodeJpegLossless(bytes)) });

const jpeg: FrameDecoder = async (bytes, { photometricInterpretation }, codestream) =>
  codestream?.precision === 8
    ? { bytes: await decodeJpeg8(bytes, photometricInterpretation), ...(codestream.components === 3 && rgb) }
    : { bytes: viewOf(decodeJpegDct(bytes)) };

const jpegLs: FrameDecoder = async (bytes, { samplesPerPixel }) => {
  const { JpegLSDecoder } = await jpegLsCodec();
  let isPlanar = false;
  const decoded = decodeWith(new JpegLSDecoder(), bytes, (decoder) => {
    const mode = decoder.getInterleaveMode();
    isPlanar = samplesPerPixel > 1 && (typeof mode === 'number' ? mode : mode.value) === 0;
  });
  return { bytes: decoded, isPlanar };
};
const jpeg2000 = wavelet(async () => (await jpeg2000Codec()).J2KDecoder);
const htj2k = wavelet(async () => (await htj2kCodec()).HTJ2KDecoder);

const rgb = { photometricInterpretation: 'RGB' };

/** How each transfer syntax is decoded. */
const decoders: Record<string, FrameDecoder> = {
  [transferSyntax.implicitLittleEndian]: native,
  [transferSyntax.explicitLittleEndian]: native,
  [transferSyntax.deflatedExplicitLittleEndian]: native,
  [transferSyntax.encapsulatedUncompressed]: native,
  [transferSyntax.explicitBigEndian]: bigEndian,
  [transferSyntax.rleLossless]: rle,
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
 * Decodes the coded bytes of one frame (PS3.5 section 8).
 * @throws PixelProblem `unsupported` for a transfer syntax that is not known, `too-large`, or `malformed` for bytes that do not decode to the size
 * that the header promises. What a codestream says of its size is compared before anything is decoded.
 */
export async function decodeFrame(bytes: Uint8Array, image: ImagePixel): Promise<DecodedFrame> {
  const decode = decoders[image.transferSyntaxUid];
  if (!decode) throw new PixelProblem('unsupported', 'The transfer syntax is not supported.');
  assertPlausible(image);
  const isCodestream = ![native, bigEndian, rle].includes(decode);
  const codestream = isCodestream ? readCodestream(bytes) : undefined;
  if (isCodestream) assertAsStated(codestream, image);
  const decoded = await attempt(() => decode(bytes, image, codestream));
  const { rows, columns, samplesPerPixel, photometricInterpretation } = image;
  return {
    rows,
    columns,
    samplesPerPixel,
    samples: storedValues(decoded.bytes, image, { ...decoded, isCodestream }),
    photometricInterpretation:
      decoded.photometricInterpretation ?? (isSubsampled(photometricInterpretation) ? 'YBR_FULL' : photometricInterpretation),
  };
}

/** Native frames are as long as they are; RLE has no header of its own. */
function assertAsStated(codestream: Codestream | undefined, { rows, columns, samplesPerPixel }: ImagePixel): void {
  const isSame = codestream?.rows === rows && codestream.columns === columns && codestream.components === samplesPerPixel;
  if (!isSame) throw new PixelProblem('malformed', 'A frame is of another size than its header says.');
}

async function attempt<T>(decode: () => Promise<T> | T): Promise<T> {
  try {
    return await decode();
  } catch (cause) {
    // Decoders throw whatever they like (wasm ones throw numbers) on bytes they cannot read.
    throw new PixelProblem('malformed', 'A frame cannot be decoded.', { cause });
  }
}

/** JPEG 2000 in both block coders: the colour transform of the codestream (ISO 15444-1 annex G) is undone with the decoding. */
function wavelet(decoderClass: () => Promise<new () => CodecDecoder>): FrameDecoder {
  return async (bytes, { samplesPerPixel, photometricInterpretation }, codestream) => {
    const isRgb = samplesPerPixel === 3 && (codestream?.hasColourTransform || /^YBR_(RCT|ICT)$/.test(photometricInterpretation));
    return { bytes: decodeWith(new (await decoderClass())(), bytes), ...(isRgb && rgb) };
  };
}

function decodeWith<Decoder extends CodecDecoder>(
  decoder: Decoder,
  bytes: Uint8Array,
  look: (decoder: Decoder) => void = () => undefined,
): Uint8Array {
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    look(decoder);
    return decoder.getDecodedBuffer().slice();
  } finally {
    decoder.delete();
  }
}

function swapped(bytes: Uint8Array, bitsAllocated: number): Uint8Array {
  if (bitsAllocated === 16) return Buffer.from(bytes).swap16();
  if (bitsAllocated === 32) return Buffer.from(bytes).swap32();
  return bitsAllocated === 64 ? Buffer.from(bytes).swap64() : bytes;
}

const viewOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
