import type { DicomJson, DicomJsonAttribute } from '../values.js';
import { PixelProblem } from './problem.js';

/** A look-up table (PS3.3 C.11.1.1): what the input `first` and those after it become; inputs beyond its ends become its ends. */
export interface LookupTable {
  first: number;
  /** Bits of an entry. */
  bits: number;
  entries: Uint16Array;
}

const MOST_ENTRIES = 65_536;

/**
 * A table from its descriptor and data. Entries of 8 bits may come packed, two in a word.
 * @param signed whether the inputs are: it decides what the first mapped value means.
 * @throws PixelProblem `malformed` when there are fewer entries than the descriptor says.
 */
export function lookupTable(
  header: DicomJson,
  tags: { descriptor: string; data: string; segmented?: string },
  signed: boolean,
): LookupTable | undefined {
  const descriptor = header[tags.descriptor] && wordsOf(header[tags.descriptor]!);
  const data = header[tags.data] ?? (tags.segmented ? header[tags.segmented] : undefined);
  if (!descriptor || descriptor.length < 3 || !data) return undefined;
  const [count, first, bits] = [descriptor[0]! || MOST_ENTRIES, descriptor[1]!, descriptor[2]!];
  const isSegmented = header[tags.data] === undefined;
  const words = wordsOf(data);
  const entries = isSegmented ? expanded(words, count) : words.length < count ? unpacked(words) : words;
  if (entries.length < count || bits < 8 || bits > 16)
    throw new PixelProblem('malformed', 'A look-up table is shorter than its descriptor says.');
  return { first: signed ? (first << 16) >> 16 : first, bits, entries: entries.subarray(0, count) };
}

/** The entry for an input. */
export function lookedUp({ first, entries }: LookupTable, input: number): number {
  const at = input - first;
  return entries[at <= 0 ? 0 : at >= entries.length ? entries.length - 1 : at]!;
}

/** Words of a value sent as US or SS, as OW, or (of old writers) as OB or UN. */
export function wordsOf({ Value, InlineBinary }: DicomJsonAttribute): Uint16Array {
  if (Value) return Uint16Array.from(Value as number[], (word) => word & 0xffff);
  const bytes = Buffer.from(InlineBinary ?? '', 'base64');
  return Uint16Array.from({ length: Math.floor(bytes.length / 2) }, (_, i) => bytes.readUInt16LE(i * 2));
}

const unpacked = (words: Uint16Array): Uint16Array =>
  Uint16Array.from({ length: words.length * 2 }, (_, i) => (words[i >> 1]! >> (i % 2 ? 8 : 0)) & 0xff);

/** Segmented palettes (PS3.3 C.7.9.2): values as they are, a line to a value, or a segment from before once more. */
function expanded(words: Uint16Array, count: number): Uint16Array {
  const out = new Uint16Array(count);
  let filled = 0;
  const put = (value: number): void => {
    if (filled < count) out[filled++] = value;
  };
  const segment = (at: number, isRepeated: boolean): number => {
    const [kind, length = 0] = [words[at], words[at + 1]];
    if (kind === 0) {
      for (let i = 0; i < length; i++) put(words[at + 2 + i] ?? 0);
      return at + 2 + length;
    }
    if (kind === 1) {
      const [from, to] = [out[filled - 1] ?? 0, words[at + 2] ?? 0];
      for (let i = 1; i <= length; i++) put(Math.round(from + ((to - from) * i) / length));
      return at + 3;
    }
    if (kind !== 2 || isRepeated) throw new PixelProblem('malformed', 'A segmented palette has an unknown segment.');
    let from = (words[at + 2] ?? 0) + (words[at + 3] ?? 0) * 65_536;
    for (let i = 0; i < length && filled < count; i++) from = segment(from, true);
    return at + 4;
  };
  for (let at = 0; at < words.length && filled < count; ) at = segment(at, false);
  return out.subarray(0, filled);
}
