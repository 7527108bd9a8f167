import { invalid, notSupported } from '../outcomes.js';
import { type DateRange, dateRange } from '../store/fhir-date.js';
import { type SearchKey, searchKeys } from '../store/search-keys.js';

/** One condition; the values of a comma list are alternatives, repeated parameters are separate conditions. */
export type Condition =
  | { kind: 'id'; ids: string[] }
  | { kind: 'token'; keys: string[] }
  | { kind: 'patient'; ids: string[] }
  | { kind: 'patient-identifier'; identifiers: { system: string | undefined; value: string }[] }
  | { kind: 'name'; prefixes: string[] }
  | { kind: 'date'; column: 'date' | 'last_updated'; alternatives: DateTest[] };

export interface DateTest {
  prefix: 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';
  range: DateRange;
}

export interface Sort {
  column: 'date' | 'last_updated' | 'id';
  descending: boolean;
}

export interface SearchQuery {
  type: string;
  conditions: Condition[];
  includes: SearchKey[];
  sort: Sort;
  count: number;
  cursor: string | undefined;
  total: boolean;
  countOnly: boolean;
  /** The parameters that were understood, for the self link. */
  used: (readonly [string, string])[];
  /** The ones that were not, reported in lenient handling. */
  ignored: string[];
}

const MAX_VALUE = 2000;
const MAX_PARAMETERS = 40;
const MAX_ALTERNATIVES = 100;

/**
 * Reads the parameters of a search (R4 3.1.1).
 * @throws Refusal 400 that names the parameter; an unknown one only when `strict`.
 */
export function parseSearch(
  type: string,
  query: readonly (readonly [string, string])[],
  options: { strict: boolean; maxPage: number; utcOffset: string },
): SearchQuery {
  if (query.length > MAX_PARAMETERS) throw invalid(`At most ${MAX_PARAMETERS} parameters are taken.`);
  const search: SearchQuery = {
    type,
    conditions: [],
    includes: [],
    sort: defaultSort(type),
    count: 20,
    cursor: undefined,
    total: false,
    countOnly: false,
    used: [],
    ignored: [],
  };
  for (const [name, value] of query) {
    if (value.length > MAX_VALUE) throw invalid(`The value is longer than ${MAX_VALUE} characters.`, name.slice(0, 100));
    if (/[\u0000-\u001f]/.test(value)) throw invalid('The value holds a control character.', name.slice(0, 100));
    if (value === '') continue; // R4 3.1.1.4: a parameter without a value is no parameter
    const known = control(search, name, value, options) || condition(search, name, value, options.utcOffset);
    if (known) search.used.push([name, value]);
    else if (options.strict)
      throw notSupported(`The parameter '${name.slice(0, 100)}' is not known for ${type}.`, name.slice(0, 100));
    else search.ignored.push(name.slice(0, 100));
  }
  return search;
}

const hasDate = (type: string): boolean => (searchKeys[type] ?? []).some((k) => k.kind === 'date') && type !== 'Patient';

function defaultSort(type: string): Sort {
  return { column: hasDate(type) ? 'date' : 'last_updated', descending: true };
}

/** Parameters that shape the answer. */
function control(search: SearchQuery, name: string, value: string, options: { maxPage: number }): boolean {
  switch (name) {
    case '_count': {
      if (!/^\d{1,6}$/.test(value)) throw invalid('_count must be a whole number.', name);
      search.count = Math.min(Number(value), options.maxPage);
      if (Number(value) === 0) search.countOnly = true;
      return true;
    }
    case '_sort':
      search.sort = sortOf(search.type, value);
      return true;
    case '_total':
      if (!['none', 'estimate', 'accurate'].includes(value)) throw invalid('_total must be none, estimate or accurate.', name);
      search.total = value !== 'none';
      return true;
    case '_summary':
      if (value !== 'count' && value !== 'false') throw notSupported('_summary takes count or false.', name);
      search.countOnly = value === 'count';
      return true;
    case '_cursor':
      search.cursor = value;
      return true;
    case '_include':
      search.includes.push(...includesOf(search.type, value));
      return true;
    case '_format':
      if (!/json/.test(value)) throw notSupported('Only JSON is offered.', name);
      return true;
    default:
      return false;
  }
}

function sortOf(type: string, value: string): Sort {
  const descending = value.startsWith('-');
  const name = descending ? value.slice(1) : value;
  if (name === '_lastUpdated') return { column: 'last_updated', descending };
  if (name === '_id') return { column: 'id', descending };
  const key = searchKeys[type]?.find((k) => k.name === name);
  if (key?.kind !== 'date') throw notSupported(`Sorting by '${name.slice(0, 100)}' is not offered.`, '_sort');
  return { column: 'date', descending };
}

function includesOf(type: string, value: string): SearchKey[] {
  const [source, name, target] = value.split(':');
  const key =
    source === type
      ? searchKeys[type]?.find((k) => k.name === name && (k.kind === 'reference' || k.kind === 'patient'))
      : undefined;
  if (!key) throw notSupported(`'${value.slice(0, 100)}' can't be included.`, '_include');
  return [target ? { ...key, targets: [target] } : key];
}

/** Parameters that select rows. */
function condition(search: SearchQuery, name: string, value: string, utcOffset: string): boolean {
  const alternatives = splitValues(value, name);
  if (name === '_id') {
    search.conditions.push({ kind: 'id', ids: alternatives });
    return true;
  }
  if (name === '_lastUpdated') {
    search.conditions.push({
      kind: 'date',
      column: 'last_updated',
      alternatives: alternatives.map((v) => dateTest(v, name, utcOffset)),
    });
    return true;
  }
  if (name === 'patient.identifier' || name === 'subject:Patient.identifier') {
    if (!searchKeys[search.type]?.some((k) => k.kind === 'patient')) return false;
    search.conditions.push({ kind: 'patient-identifier', identifiers: alternatives.map(identifierOf) });
    return true;
  }
  if (name === '_security') {
    search.conditions.push({ kind: 'token', keys: alternatives.map((v) => `_security=${v}`) });
    return true;
  }
  const key = searchKeys[search.type]?.find((k) => k.name === name);
  if (!key) return false;
  search.conditions.push(conditionOf(key, alternatives, utcOffset));
  return true;
}

function conditionOf(key: SearchKey, values: string[], utcOffset: string): Condition {
  switch (key.kind) {
    case 'token':
      return { kind: 'token', keys: values.map((v) => `${key.name}=${v}`) };
    case 'reference':
      return { kind: 'token', keys: values.flatMap((v) => referenceKeys(key, v)) };
    case 'patient':
      return { kind: 'patient', ids: values.map((v) => patientId(v, key.name)) };
    case 'name':
      return { kind: 'name', prefixes: values.map((v) => v.normalize('NFKC').toLowerCase()) };
    case 'date':
      return { kind: 'date', column: 'date', alternatives: values.map((v) => dateTest(v, key.name, utcOffset)) };
  }
}

function referenceKeys(key: SearchKey, value: string): string[] {
  return value.includes('/') || value.includes(':')
    ? [`${key.name}=${value}`]
    : (key.targets ?? []).map((t) => `${key.name}=${t}/${value}`);
}

function patientId(value: string, name: string): string {
  const id = value.startsWith('Patient/') ? value.slice('Patient/'.length) : value;
  if (!/^[A-Za-z0-9\-.]{1,64}$/.test(id)) throw invalid('The value is not a reference to a Patient.', name);
  return id;
}

function identifierOf(value: string): { system: string | undefined; value: string } {
  const bar = value.indexOf('|');
  return bar < 0 ? { system: undefined, value } : { system: value.slice(0, bar), value: value.slice(bar + 1) };
}

/** Values separated by commas; `\,` `\|` `\$` `\\` are literal (R4 3.1.1.4.0.1). */
function splitValues(value: string, name: string): string[] {
  const parts = (value.match(/(?:\\.|[^,\\])+/g) ?? []).map((p) => p.replace(/\\([,|$\\])/g, '$1'));
  if (parts.length === 0) throw invalid('The value is empty.', name);
  if (parts.length > MAX_ALTERNATIVES) throw invalid(`At most ${MAX_ALTERNATIVES} alternatives are taken.`, name);
  return parts;
}

const PREFIX = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)$/;

function dateTest(value: string, name: string, utcOffset: string): DateTest {
  const [, prefix, text] = PREFIX.exec(value) ?? [];
  // a '+' of an offset arrives as a space when the client did not escape it
  const range = dateRange((text ?? '').replace(' ', '+'), utcOffset);
  if (!range) throw invalid(`'${value.slice(0, 40)}' is not a date.`, name);
  return { prefix: (prefix ?? 'eq') as DateTest['prefix'], range };
}
