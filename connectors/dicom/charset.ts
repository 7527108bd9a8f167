/**
 * Specific Character Set (0008,0005), PS3.3 C.12.1.1.2 and PS3.5 section 6.1: bytes to Unicode. Never throws: what can't be
 * decoded becomes U+FFFD. Chinese text that was stored under a wrong label is recognised.
 */
import { TextDecoder } from 'node:util';

/** Decodes one value, which may still hold several values separated by backslashes. */
export type Decode = (bytes: Uint8Array) => string;

const esc = 0x1b;
/** What ends a code extension (PS3.5 6.1.2.5.3): control characters, the backslash, and in names `^` and `=`. */
const isControl = (byte: number) => byte === 0x09 || byte === 0x0a || byte === 0x0c || byte === 0x0d;
const isDelimiter = (byte: number) => byte === 0x5c || byte === 0x5e || byte === 0x3d;

/** A character set in one half of the code table; two-byte sets of G0 are reached through the upper half of an EUC encoding. */
interface Designated {
  encoding: string;
  shift?: 'high' | 'jis0212';
}

/** Defined Terms to WHATWG encodings; `ISO 2022 IR n` names the same set as `ISO_IR n`, with escapes. */
const singleByte: Record<string, string> = {
  '6': 'latin1',
  '13': 'shift_jis',
  '100': 'windows-1252',
  '101': 'iso-8859-2',
  '109': 'iso-8859-3',
  '110': 'iso-8859-4',
  '126': 'iso-8859-7',
  '127': 'iso-8859-6',
  '138': 'iso-8859-8',
  '144': 'iso-8859-5',
  '148': 'windows-1254',
  '166': 'windows-874',
  '203': 'iso-8859-15',
};
const multiByte: Record<string, string> = { '58': 'gbk', '87': 'euc-jp', '149': 'euc-kr', '159': 'euc-jp' };
const whole: Record<string, string> = { 'ISO_IR 192': 'utf-8', GB18030: 'gb18030', GBK: 'gbk' };

/** What an escape sequence (without ESC) designates (PS3.3 tables C.12-3 and C.12-4). */
const escapes: Record<string, Designated & { half: 'G0' | 'G1' }> = {
  '(B': { half: 'G0', encoding: 'latin1' },
  '(J': { half: 'G0', encoding: 'latin1' },
  $B: { half: 'G0', encoding: 'euc-jp', shift: 'high' },
  '$@': { half: 'G0', encoding: 'euc-jp', shift: 'high' },
  '$(D': { half: 'G0', encoding: 'euc-jp', shift: 'jis0212' },
  $A: { half: 'G0', encoding: 'gbk', shift: 'high' },
  ')I': { half: 'G1', encoding: 'shift_jis' },
  '$)A': { half: 'G1', encoding: 'gbk' },
  '$)C': { half: 'G1', encoding: 'euc-kr' },
  '-A': { half: 'G1', encoding: 'windows-1252' },
  '-B': { half: 'G1', encoding: 'iso-8859-2' },
  '-C': { half: 'G1', encoding: 'iso-8859-3' },
  '-D': { half: 'G1', encoding: 'iso-8859-4' },
  '-F': { half: 'G1', encoding: 'iso-8859-7' },
  '-G': { half: 'G1', encoding: 'iso-8859-6' },
  '-H': { half: 'G1', encoding: 'iso-8859-8' },
  '-L': { half: 'G1', encoding: 'iso-8859-5' },
  '-M': { half: 'G1', encoding: 'windows-1254' },
  '-T': { half: 'G1', encoding: 'windows-874' },
  '-b': { half: 'G1', encoding: 'iso-8859-15' },
};

/**
 * The decoder for a data set or an item.
 * @param terms the values of Specific Character Set; none, or one empty value, is the default repertoire (ISO_IR 6).
 */
export function decoderFor(terms: readonly string[]): Decode {
  const [first = '', ...extensions] = definedTerms(terms);
  const encoding = whole[first];
  if (encoding)
    return (bytes) =>
      isAscii(bytes) ? text('latin1', bytes) : (strict(encoding, bytes) ?? guess(bytes) ?? text(encoding, bytes));
  const base = singleByte[registration(first)];
  const extended = extensions.map(registration).map((number) => multiByte[number] ?? singleByte[number]);
  const upper =
    base !== undefined && base !== 'latin1'
      ? base
      : (multiByte[registration(first)] ?? extended.find((name) => name !== undefined));
  return (bytes) => {
    if (bytes.includes(esc)) return decodeExtended(bytes, upper ?? 'windows-1252');
    if (isAscii(bytes)) return text('latin1', bytes);
    // Latin 1 and ASCII are what software writes that doesn't know its character set; the other labels are meant.
    const isVague = upper === undefined || upper === 'windows-1252';
    return (isVague ? guess(bytes) : undefined) ?? text(upper ?? 'windows-1252', bytes);
  };
}

/**
 * The one encoding that all text of a data set can be written in; undefined where code extensions are in use, or the term is unknown.
 * ASCII is part of each.
 */
export function encodingOf(terms: readonly string[]): string | undefined {
  const [first = '', ...extensions] = definedTerms(terms);
  if (extensions.length > 0) return undefined;
  return whole[first] ?? singleByte[registration(first)];
}

const definedTerms = (terms: readonly string[]): string[] =>
  terms.map((term) =>
    term
      .trim()
      .toUpperCase()
      .replace(/[-_]/g, ' ')
      .replace(/^ISO IR/, 'ISO_IR'),
  );

/** Unicode text of unlabelled or mislabelled bytes: UTF-8 if it is that, Chinese (GBK) if it looks like that. */
function guess(bytes: Uint8Array): string | undefined {
  return strict('utf-8', bytes) ?? (looksLikeGbk(bytes) ? strict('gb18030', bytes) : undefined);
}

/**
 * GBK against a Latin alphabet: pairs of two high bytes, or with a lead byte that is a control character in Latin 1, speak for
 * GBK; a high byte before an ASCII letter speaks for an accented letter in a word, and so does a single pair inside a word.
 */
function looksLikeGbk(bytes: Uint8Array): boolean {
  let strong = 0;
  let weak = 0;
  let followsLetter = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const lead = bytes[i]!;
    if (lead < 0x80) {
      followsLetter = isLetter(lead);
      continue;
    }
    const trail = bytes[i + 1];
    if (trail === undefined || trail < 0x40 || lead === 0x80 || lead === 0xff) return false;
    const isPair = trail >= 0xa1 || lead <= 0xa0;
    const insideWord = followsLetter && !((bytes[i + 2] ?? 0) >= 0x80);
    if (isPair && !insideWord) strong += 1;
    else weak += 1;
    followsLetter = false;
    i += 1;
  }
  return strong > weak;
}

/** Code extensions by escape sequences (PS3.5 6.1.2.5). `upper` decodes high bytes before any designation of G1. */
function decodeExtended(bytes: Uint8Array, upper: string): string {
  const initial: { G0: Designated; G1: Designated } = { G0: { encoding: 'latin1' }, G1: { encoding: upper } };
  let state = initial;
  let out = '';
  let position = 0;
  while (position < bytes.length) {
    if (bytes[position] === esc) {
      const designation = readEscape(bytes, position + 1);
      if (designation) state = { ...state, [designation.half]: designation };
      position += 1 + (designation?.length ?? 0);
      continue;
    }
    if (isControl(bytes[position]!)) state = initial;
    const run = bytes.subarray(position, runEnd(bytes, position));
    const isHigh = run[0]! >= 0x80;
    out += isHigh ? text(state.G1.encoding, run) : shifted(state.G0, run);
    if (!isHigh && state.G0.shift === undefined && run.some(isDelimiter)) state = initial;
    position += run.length;
  }
  return out;
}

/** The end of the run of bytes that one half of the code table decodes. */
function runEnd(bytes: Uint8Array, start: number): number {
  const isHigh = bytes[start]! >= 0x80;
  let end = start + 1;
  while (end < bytes.length && bytes[end]! >= 0x80 === isHigh && bytes[end] !== esc && !isControl(bytes[end]!)) end += 1;
  return end;
}

function readEscape(bytes: Uint8Array, start: number) {
  for (const length of [3, 2]) {
    const found = escapes[String.fromCharCode(...bytes.subarray(start, start + length))];
    if (found) return { ...found, length };
  }
  return undefined;
}

/** Bytes of G0: ASCII, or two-byte sets, which the EUC encodings hold in their upper half. */
function shifted(set: Designated, run: Uint8Array): string {
  if (set.shift === undefined) return text('latin1', run);
  const high = run.map((byte) => byte | 0x80);
  if (set.shift === 'high') return text(set.encoding, high);
  const pairs: number[] = [];
  for (let i = 0; i < high.length; i += 2) pairs.push(0x8f, ...high.subarray(i, i + 2));
  return text(set.encoding, Uint8Array.from(pairs));
}

const registration = (term: string) => /^ISO(?:_IR| 2022 IR) (\d+)$/.exec(term)?.[1] ?? (term === '' ? '6' : '');
const isAscii = (bytes: Uint8Array) => bytes.every((byte) => byte < 0x80);
const isLetter = (byte: number) => /[A-Za-z]/.test(String.fromCharCode(byte));

const decoders = new Map<string, TextDecoder>();

function text(encoding: string, bytes: Uint8Array): string {
  return decoder(encoding, false).decode(bytes);
}

/** Undefined when the bytes are not valid in `encoding`. */
function strict(encoding: string, bytes: Uint8Array): string | undefined {
  try {
    return decoder(encoding, true).decode(bytes);
  } catch {
    return undefined;
  }
}

function decoder(encoding: string, fatal: boolean): TextDecoder {
  const key = `${encoding} ${fatal}`;
  const known = decoders.get(key) ?? new TextDecoder(encoding, { fatal, ignoreBOM: true });
  decoders.set(key, known);
  return known;
}
