import type { Decode } from './charset.js';

/** DICOM JSON model (PS3.18 annex F): attributes by tag, `GGGGEEEE` in upper case. */
export type DicomJson = Record<string, DicomJsonAttribute>;

export interface DicomJsonAttribute {
  vr: string;
  Value?: unknown[];
  InlineBinary?: string;
  BulkDataURI?: string;
}

/** A person's name in the DICOM JSON model (PS3.18 F.2.2). */
export interface PersonName {
  Alphabetic?: string;
  Ideographic?: string;
  Phonetic?: string;
}

/** Value representations whose text is in the Specific Character Set (PS3.5 6.1.2.2). */
export const inCharacterSet: ReadonlySet<string> = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT']);
const singleText = new Set(['LT', 'ST', 'UT', 'UR']);
const numbersAsText = new Set(['DS', 'IS']);
const binary = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** Bytes of one word of binary values, which big endian data has to have swapped. */
const wordSize: Record<string, number> = { OW: 2, OF: 4, OL: 4, OD: 8, OV: 8 };

/** Reads numbers of a fixed width: the width in bytes and how. */
const numbers: Record<string, { width: number; read: (bytes: Buffer, at: number, littleEndian: boolean) => number | bigint }> = {
  US: { width: 2, read: (b, at, le) => (le ? b.readUInt16LE(at) : b.readUInt16BE(at)) },
  SS: { width: 2, read: (b, at, le) => (le ? b.readInt16LE(at) : b.readInt16BE(at)) },
  UL: { width: 4, read: (b, at, le) => (le ? b.readUInt32LE(at) : b.readUInt32BE(at)) },
  SL: { width: 4, read: (b, at, le) => (le ? b.readInt32LE(at) : b.readInt32BE(at)) },
  FL: { width: 4, read: (b, at, le) => (le ? b.readFloatLE(at) : b.readFloatBE(at)) },
  FD: { width: 8, read: (b, at, le) => (le ? b.readDoubleLE(at) : b.readDoubleBE(at)) },
  UV: { width: 8, read: (b, at, le) => (le ? b.readBigUInt64LE(at) : b.readBigUInt64BE(at)) },
  SV: { width: 8, read: (b, at, le) => (le ? b.readBigInt64LE(at) : b.readBigInt64BE(at)) },
};

/** Bytes of one word of a representation (PS3.5 7.3); 1 for text and bytes. */
export const wordSizeOf = (vr: string): number => (vr === 'AT' ? 2 : (numbers[vr]?.width ?? wordSize[vr] ?? 1));

/** One attribute's value in the DICOM JSON model (PS3.18 F.2.3): text decoded, numbers as numbers, binary as base64. */
export function toJsonAttribute(vr: string, value: Buffer, littleEndian: boolean, decode: Decode): DicomJsonAttribute {
  if (value.length === 0) return { vr };
  if (binary.has(vr)) return { vr, InlineBinary: inLittleEndian(value, littleEndian ? 1 : wordSizeOf(vr)).toString('base64') };
  const values =
    vr === 'AT'
      ? attributeTags(value, littleEndian)
      : vr in numbers
        ? fixedNumbers(vr, value, littleEndian)
        : texts(vr, value, decode);
  return values.some((one) => one !== null) ? { vr, Value: values } : { vr };
}

/** Swaps the bytes of every word of `size` bytes; what doesn't fill a word stays. */
export function inLittleEndian(value: Buffer, size: number): Buffer {
  if (size === 1) return value;
  const swapped = Buffer.from(value);
  const words = swapped.subarray(0, swapped.length - (swapped.length % size));
  if (size === 2) words.swap16();
  if (size === 4) words.swap32();
  if (size === 8) words.swap64();
  return swapped;
}

function fixedNumbers(vr: string, value: Buffer, littleEndian: boolean): unknown[] {
  const { width, read } = numbers[vr]!;
  return Array.from({ length: Math.floor(value.length / width) }, (_, i) => {
    const number = read(value, i * width, littleEndian);
    return typeof number === 'number'
      ? jsonNumber(number)
      : Number.isSafeInteger(Number(number))
        ? Number(number)
        : String(number);
  });
}

function attributeTags(value: Buffer, littleEndian: boolean): string[] {
  const uint16 = (at: number) => (littleEndian ? value.readUInt16LE(at) : value.readUInt16BE(at)).toString(16).padStart(4, '0');
  return Array.from({ length: Math.floor(value.length / 4) }, (_, i) => (uint16(i * 4) + uint16(i * 4 + 2)).toUpperCase());
}

function texts(vr: string, value: Buffer, decode: Decode): unknown[] {
  const text = inCharacterSet.has(vr) ? decode(value) : value.toString('latin1');
  if (singleText.has(vr)) return [textOrNull(text.replace(/[\0 ]+$/, ''))];
  const values = text.split('\\').map((one) => one.replace(/\0/g, '').trim());
  if (vr === 'PN') return values.map((name) => (name === '' ? null : personName(name)));
  if (numbersAsText.has(vr)) return values.map((number) => (number === '' ? null : (asNumber(number) ?? number)));
  return values.map(textOrNull);
}

/** Splits `Wang^XiaoDong=王^小东=` into its component groups (PS3.5 6.2.1.2); a group that is stated to be empty stays so. */
function personName(name: string): PersonName {
  const [alphabetic, ideographic, phonetic] = name.split('=').map((group) => group.trim());
  return {
    Alphabetic: alphabetic ?? '',
    ...(ideographic === undefined ? {} : { Ideographic: ideographic }),
    ...(phonetic === undefined ? {} : { Phonetic: phonetic }),
  };
}

const textOrNull = (text: string) => (text === '' ? null : text);
const asNumber = (text: string) => (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined);
/** JSON has no infinity and no NaN (PS3.18 F.2.3 note). */
const jsonNumber = (number: number) =>
  Number.isFinite(number) ? number : Number.isNaN(number) ? 'NaN' : number > 0 ? 'inf' : '-inf';
