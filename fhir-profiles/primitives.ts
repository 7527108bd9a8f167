/**
 * FHIR R4 primitive types (https://hl7.org/fhir/R4/datatypes.html): JSON type and format of each. Dates are real dates:
 * 2024-02-30 is refused. A check returns what is wrong in one sentence, never the value itself, or undefined.
 */
import { narrativeProblem } from './narrative.js';

/** `problem` says what is wrong with a non-empty value of the right JSON type. */
export type Primitive =
  | { json: 'string'; problem: (value: string) => string | undefined }
  | { json: 'number'; problem: (value: number) => string | undefined }
  | { json: 'boolean'; problem: (value: boolean) => string | undefined };

/** Longest string of any type but base64Binary and xhtml, in UTF-16 units: FHIR's "1 MB". */
export const maxStringLength = 1024 * 1024;

const year = '(?:[1-9]\\d{3}|0[1-9]\\d{2}|00[1-9]\\d|000[1-9])';
const datePattern = new RegExp(`^(${year})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\\d|3[01]))?)?$`);
const timePattern = /^(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?$/;
const offsetPattern = /(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))$/;
// Tab, line feed and carriage return are the only control characters of a FHIR string; lone surrogates aren't Unicode.
const forbiddenCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]|\p{Cs}/u;
const idPattern = /^[A-Za-z0-9\-.]{1,64}$/;
const oidPattern = /^urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+$/;
const uuidPattern = /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const maxInteger = 2_147_483_647;

export const primitives = {
  base64Binary: { json: 'string', problem: base64Problem },
  boolean: { json: 'boolean', problem: () => undefined },
  canonical: { json: 'string', problem: uriProblem },
  code: { json: 'string', problem: matching(/^[^\s]+(?: [^\s]+)*$/, 'a code has no blanks at its ends and single ones within') },
  date: {
    json: 'string',
    problem: (value) => (isDate(value) ? undefined : 'not a real date of the form YYYY, YYYY-MM or YYYY-MM-DD'),
  },
  dateTime: { json: 'string', problem: dateTimeProblem },
  decimal: { json: 'number', problem: finite },
  id: { json: 'string', problem: matching(idPattern, 'an id has 1 to 64 letters, digits, hyphens and dots') },
  instant: { json: 'string', problem: (value) => (isInstant(value) ? undefined : 'not a real instant with seconds and offset') },
  integer: { json: 'number', problem: integerFrom(-maxInteger - 1) },
  markdown: { json: 'string', problem: textProblem },
  oid: { json: 'string', problem: matching(oidPattern, 'not an OID of the form urn:oid:1.2.3') },
  positiveInt: { json: 'number', problem: integerFrom(1) },
  string: { json: 'string', problem: textProblem },
  time: { json: 'string', problem: matching(timePattern, 'not a time of the form hh:mm:ss') },
  unsignedInt: { json: 'number', problem: integerFrom(0) },
  uri: { json: 'string', problem: uriProblem },
  url: { json: 'string', problem: uriProblem },
  uuid: { json: 'string', problem: matching(uuidPattern, 'not a UUID of the form urn:uuid: in lower case') },
  xhtml: { json: 'string', problem: narrativeProblem },
} satisfies Record<string, Primitive>;

export function isPrimitive(code: string): code is keyof typeof primitives {
  return Object.hasOwn(primitives, code);
}

/** True for text that FHIR's string type and PostgreSQL's text can hold: no control characters, no lone surrogates. */
export function isCleanText(value: string): boolean {
  return !forbiddenCharacters.test(value);
}

/** True for a FHIR `date` (YYYY, YYYY-MM, YYYY-MM-DD) that exists in the calendar. */
export function isDate(value: string): boolean {
  const match = datePattern.exec(value);
  if (!match) return false;
  const [, y, month, day] = match;
  return !day || Number(day) <= daysInMonth(Number(y), Number(month));
}

/** True for a FHIR `dateTime`: a date, or a date with hours, minutes, seconds and offset. */
export function isDateTime(value: string): boolean {
  return value.length <= 10 ? isDate(value) : isInstant(value);
}

/** True for a FHIR `instant`: a real date, a time with seconds, and an offset. */
export function isInstant(value: string): boolean {
  const offset = offsetPattern.exec(value);
  return (
    offset !== null && value.charAt(10) === 'T' && isDate(value.slice(0, 10)) && timePattern.test(value.slice(11, offset.index))
  );
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

function dateTimeProblem(value: string): string | undefined {
  return isDateTime(value) ? undefined : 'not a real dateTime: YYYY, YYYY-MM, YYYY-MM-DD, or with seconds and offset';
}

function textProblem(value: string): string | undefined {
  if (!/\S/.test(value)) return 'a string has some content';
  return isCleanText(value) ? undefined : 'control characters and lone surrogates are not allowed';
}

function uriProblem(value: string): string | undefined {
  if (/\s/.test(value)) return 'a URI has no blanks';
  if (!isCleanText(value)) return 'control characters and lone surrogates are not allowed';
  if (value.startsWith('urn:oid:') && !oidPattern.test(value)) return 'not an OID after urn:oid:';
  if (value.startsWith('urn:uuid:') && !uuidPattern.test(value)) return 'not a UUID in lower case after urn:uuid:';
  return undefined;
}

function base64Problem(value: string): string | undefined {
  return value.length % 4 === 0 && /^[A-Za-z\d+/]*={0,2}$/.test(value) ? undefined : 'not base64';
}

function matching(pattern: RegExp, problem: string): (value: string) => string | undefined {
  return (value) => (pattern.test(value) && isCleanText(value) ? undefined : problem);
}

function finite(value: number): string | undefined {
  return Number.isFinite(value) ? undefined : 'not a finite number';
}

function integerFrom(lowest: number): (value: number) => string | undefined {
  const problem = `not a whole number from ${lowest} to ${maxInteger}`;
  return (value) => (Number.isInteger(value) && value >= lowest && value <= maxInteger ? undefined : problem);
}
