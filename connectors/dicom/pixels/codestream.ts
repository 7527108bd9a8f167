import { segments } from './jpeg-segments.js';

/** What a compressed frame says of itself, before anything is decoded. */
export interface Codestream {
  rows: number;
  columns: number;
  components: number;
  /** Bits a sample. */
  precision: number;
  /** JPEG 2000: a colour transform is undone by the decoder, whose samples are RGB then. */
  hasColourTransform?: boolean;
}

/** Reads the frame header of JPEG and JPEG-LS (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2) or the one of JPEG 2000; undefined where there is none. */
export function readCodestream(bytes: Uint8Array): Codestream | undefined {
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? jpegFrame(bytes) : jpeg2000Frame(bytes);
}

function jpegFrame(bytes: Uint8Array): Codestream | undefined {
  for (const { marker, data } of segments(bytes)) {
    const isFrameHeader = marker === 0xf7 || (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker));
    if (!isFrameHeader || data.length < 6) continue;
    return { precision: data[0]!, rows: word(data, 1), columns: word(data, 3), components: data[5]! };
  }
  return undefined;
}

/** Main header (ISO 15444-1 annex A): SIZ follows the start of the codestream, COD says whether components were transformed. */
function jpeg2000Frame(bytes: Uint8Array): Codestream | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4096)).indexOf('ff4fff51', 0, 'hex');
  const siz = bytes.subarray(start + 4);
  if (start < 0 || siz.length < 38) return undefined;
  const [columns, rows] = [long(siz, 4) - long(siz, 12), long(siz, 8) - long(siz, 16)];
  const hasColourTransform = codingStyle(bytes, start + 4 + word(siz, 0))?.[4] === 1;
  return { rows, columns, components: word(siz, 36), precision: ((siz[38] ?? 0) & 0x7f) + 1, hasColourTransform };
}

/** The COD segment of the main header, from its style byte; undefined where the tiles begin before there is one. */
function codingStyle(bytes: Uint8Array, start: number): Uint8Array | undefined {
  for (let at = start; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0x90; at += 2 + word(bytes, at + 2)) {
    if (bytes[at + 1] === 0x52) return bytes.subarray(at + 4);
  }
  return undefined;
}

const word = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!;
const long = (bytes: Uint8Array, at: number): number => word(bytes, at) * 65536 + word(bytes, at + 2);
