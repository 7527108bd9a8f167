import { invalid, notSupported } from '../outcomes.js';
import { searchKeys } from '../store/search-keys.js';
import { type Condition, conditionOf, typesOn } from './search-conditions.js';
import { type Include, includeOf } from './search-includes.js';
import { elementsView, SUMMARIES, type View } from './subset.js';

export interface Sort {
  column: 'date' | 'last_updated' | 'id';
  descending: boolean;
}

export interface SearchQuery {
  type: string;
  conditions: Condition[];
  includes: Include[];
  sort: Sort;
  count: number;
  cursor: string | undefined;
  total: boolean;
  countOnly: boolean;
  /** Which part of each resource is asked for; undefined: all of it. */
  view: View | undefined;
  /** The parameters that were understood, for the self link. */
  used: (readonly [string, string])[];
  /** The ones that were not, reported in lenient handling. */
  ignored: Ignored[];
}

/** A parameter that was not understood, and what is said of it. */
export interface Ignored {
  name: string;
  diagnostics: string;
}

const MAX_VALUE = 2000;
/** Records of other types that one search looks at, by all its chains together. */
const MAX_LINKED = 24;

/**
 * Reads the parameters of a search (R4 3.1.1).
 * @throws Refusal 400 that names the parameter; an unknown one only when `strict`.
 */
export function parseSearch(
  type: string,
  query: readonly (readonly [string, string])[],
  options: { strict: boolean; maxPage: number; utcOffset: string },
): SearchQuery {
  const search: SearchQuery = {
    type,
    conditions: [],
    includes: [],
    sort: defaultSort(type),
    count: 20,
    cursor: undefined,
    total: false,
    countOnly: false,
    view: undefined,
    used: [],
    ignored: [],
  };
  for (const [name, value] of query) {
    if (value.length > MAX_VALUE) throw invalid(`The value is longer than ${MAX_VALUE} characters.`, name.slice(0, 100));
    if (/[\u0000-\u001f]/.test(value)) throw invalid('The value holds a control character.', name.slice(0, 100));
    if (value === '') continue; // R4 3.1.1.4: a parameter without a value is no parameter
    if (control(search, name, value, options) || condition(search, name, value, options.utcOffset))
      search.used.push([name, value]);
    else search.ignored.push(unknown(type, name.slice(0, 100)));
  }
  const [first] = search.ignored;
  if (first && options.strict) throw notSupported(first.diagnostics, first.name);
  assertBearable(search);
  return search;
}

/** Parameters that select rows. */
function condition(search: SearchQuery, name: string, value: string, utcOffset: string): boolean {
  const found = conditionOf(search.type, { name, value, utcOffset, links: 0 });
  if (found) search.conditions.push(found);
  return found !== undefined;
}

function unknown(type: string, name: string): Ignored {
  const [stem = '', modifier] = name.split(':');
  const isKnown = modifier && ['_id', '_lastUpdated', ...(searchKeys[type] ?? []).map((k) => k.name)].includes(stem);
  const what = isKnown
    ? `The modifier ':${modifier}' is not offered for '${stem}'.`
    : `The parameter '${name}' is not known for ${type}.`;
  return { name, diagnostics: what };
}

function assertBearable({ conditions, includes, view }: SearchQuery): void {
  const linked = conditions.flatMap(typesOn).length;
  if (linked > MAX_LINKED) throw notSupported(`At most ${MAX_LINKED} references are followed in one search.`);
  // R4 3.1.1.5.8
  if (view?.kind === 'text' && includes.length > 0) throw invalid('_summary=text takes no includes.', '_summary');
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
      if (!Object.hasOwn(SUMMARIES, value)) throw invalid(`_summary takes ${Object.keys(SUMMARIES).join(', ')}.`, name);
      search.countOnly = value === 'count';
      search.view = SUMMARIES[value];
      return true;
    case '_elements':
      search.view = elementsView(value);
      return true;
    case '_cursor':
      search.cursor = value;
      return true;
    case '_include':
    case '_include:iterate':
    case '_revinclude':
    case '_revinclude:iterate':
      search.includes.push(includeOf(search.type, name, value));
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
