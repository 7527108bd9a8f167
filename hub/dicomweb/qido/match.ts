import { invalid } from '../../outcomes.js';
import type { Matching } from './attributes.js';

/** What the value of an attribute has to be (PS3.4 C.2.2.2). Alternatives are joined; each pattern has `*` and `?`. */
export type Match =
  | { kind: 'one-of'; values: readonly string[] }
  | { kind: 'like'; patterns: readonly string[]; isFolded: boolean }
  /** Both ends included, as text of the same form as the values: `20260102`, `0920`. */
  | { kind: 'range'; from: string | undefined; until: string | undefined }
  | { kind: 'number'; value: number };

const MOST_VALUES = 100;

/**
 * Reads the value of a key. @returns undefined for universal matching (an empty value, or wildcards alone), which every value meets.
 * @param name as the caller wrote it. @throws Refusal 400 that names the key.
 */
export function matchOf(matching: Matching, value: string, name: string): Match | undefined {
  if (/^\**$/.test(value)) return undefined;
  switch (matching) {
    case 'uid':
      return uids(value, name);
    case 'code':
      return like(listed(value, name), false);
    case 'text':
      return like([value], false);
    case 'folded-text':
    case 'name':
      return like([value], true);
    case 'date':
      return range(value, name, dateOf);
    case 'time':
      return range(value, name, timeOf);
    case 'number':
      if (!/^ *[+-]?\d{1,10} *$/.test(value)) throw invalid('The value is not a whole number.', name);
      return { kind: 'number', value: Number(value) };
  }
}

/** Values that are separated by commas, or as in DICOM by backslashes. */
function listed(value: string, name: string): string[] {
  const values = value
    .split(/[,\\]/)
    .map((one) => one.trim())
    .filter(Boolean);
  if (values.length === 0) throw invalid('The value is empty.', name);
  if (values.length > MOST_VALUES) throw invalid(`At most ${MOST_VALUES} values are taken.`, name);
  return values;
}

function uids(value: string, name: string): Match {
  const values = listed(value, name);
  if (!values.every((uid) => uid.length <= 64 && /^[0-2](\.\d+)+$/.test(uid)))
    throw invalid('The value is no unique identifier, or list of them.', name);
  return { kind: 'one-of', values };
}

const isPattern = (value: string): boolean => /[*?]/.test(value);

function like(values: readonly string[], isFolded: boolean): Match | undefined {
  if (values.some((value) => /^\*+$/.test(value))) return undefined;
  if (!isFolded && !values.some(isPattern)) return { kind: 'one-of', values };
  return { kind: 'like', patterns: values, isFolded };
}

function range(value: string, name: string, read: (text: string) => string | undefined): Match {
  const [first = '', last = first, ...more] = value.split('-').map((end) => end.trim());
  const ends = [first, last].map((end) => (end === '' ? undefined : read(end)));
  const isRead = (text: string, end: string | undefined): boolean => text === '' || end !== undefined;
  if (more.length > 0 || (first === '' && last === '') || !isRead(first, ends[0]) || !isRead(last, ends[1]))
    throw invalid('The value is neither a date or time of DICOM, nor a range of them.', name);
  return { kind: 'range', from: ends[0], until: ends[1] };
}

/** DA, and the older form `2026.01.02`. */
function dateOf(text: string): string | undefined {
  const [, year, month, day] = /^(\d{4})(?:\.?)(\d\d)(?:\.?)(\d\d)$/.exec(text) ?? [];
  if (year === undefined || month === undefined || day === undefined) return undefined;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  date.setUTCFullYear(Number(year));
  const isReal = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  return isReal ? `${year}${month}${day}` : undefined;
}

/** TM with the precision that it has, and the older form `09:20:00`. */
function timeOf(text: string): string | undefined {
  const plain = text.replace(/^(\d\d):(\d\d)(?::(\d\d))?/, '$1$2$3');
  return /^([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?$/.test(plain) ? plain : undefined;
}

/** What comes after every time that begins so: `0920` lasts until `0920~`, for `~` follows all digits. */
export const endOfRange = (until: string): string => `${until}~`;

/** Whether a value meets the match; one that is absent meets none. */
export function meets(match: Match, value: string | undefined): boolean {
  if (value === undefined || value === '') return false;
  switch (match.kind) {
    case 'one-of':
      return match.values.includes(value);
    case 'like':
      return match.patterns.some((pattern) => isLike(pattern, value, match.isFolded));
    case 'range':
      return (match.from === undefined || value >= match.from) && (match.until === undefined || value <= endOfRange(match.until));
    case 'number':
      return Number(value) === match.value;
  }
}

/**
 * Wildcard matching (PS3.4 C.2.2.2.4): `*` stands for any characters, `?` for one. A `*` that was passed is tried with one character more, never
 * an earlier one, so that it takes no more steps than pattern times value.
 */
function isLike(pattern: string, value: string, isFolded: boolean): boolean {
  const fold = (text: string): string[] => [...(isFolded ? text.toLowerCase() : text)];
  const [wanted, given] = [fold(pattern), fold(value)];
  let [at, i] = [0, 0];
  let star: { at: number; i: number } | undefined;
  while (i < given.length) {
    if (wanted[at] === '*') star = { at: at++, i };
    else if (wanted[at] === '?' || wanted[at] === given[i]) {
      at += 1;
      i += 1;
    } else if (star) {
      star.i += 1;
      at = star.at + 1;
      i = star.i;
    } else return false;
  }
  return wanted.slice(at).every((c) => c === '*');
}

/** The same pattern for LIKE. */
export const likePattern = (pattern: string): string =>
  pattern
    .replace(/[\\%_]/g, '\\$&')
    .replace(/\*+/g, '%')
    .replaceAll('?', '_');
