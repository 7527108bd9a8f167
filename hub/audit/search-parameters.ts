import { invalid, notSupported } from '../outcomes.js';
import { dateRange } from '../store/fhir-date.js';
import { parseAuditEventId } from './rows.js';
import type { AuditCriteria, TimeSpan } from './search.js';

/** Search parameters of AuditEvent (R4 AuditEvent, Search Parameters), as the CapabilityStatement shows them. */
export const auditSearchParameters = [
  { name: 'patient', type: 'reference' },
  { name: 'agent', type: 'reference', documentation: 'Person, or Organization for all of its people and systems.' },
  { name: 'date', type: 'date' },
  { name: 'outcome', type: 'token' },
  { name: 'action', type: 'token' },
  { name: 'type', type: 'token', documentation: 'Class of event as in the last AuditEvent.subtype: rest, query, referral, ...' },
  {
    name: 'subtype',
    type: 'token',
    documentation:
      'The operation (read, retrieve, ...); disclose: records that went to another organization; AuthZ-Consent: what a consent stopped.',
  },
  { name: 'entity', type: 'reference' },
] as const;

const MOST_ALTERNATIVES = 100;
const LONGEST_VALUE = 2000;

export interface AuditSearch {
  criteria: AuditCriteria;
  /** The value of `_cursor`, still sealed. */
  cursor?: string;
  /** Parameters that were not understood, for lenient handling. */
  ignored: string[];
}

/**
 * Reads the parameters of a search on AuditEvent. Repeated ones all hold, a comma list is a choice.
 * @throws Refusal 400 that names the parameter.
 */
export function parseAuditSearch(
  query: readonly (readonly [string, string])[],
  options: { strict: boolean; maxPage: number; utcOffset: string },
): AuditSearch {
  const search: AuditSearch = { criteria: { count: Math.min(50, options.maxPage) }, ignored: [] };
  for (const [name, value] of query) {
    if (value.length > LONGEST_VALUE) throw invalid(`The value is longer than ${LONGEST_VALUE} characters.`, name.slice(0, 100));
    if (/[\0-\x1f]/.test(value)) throw invalid('The value holds a control character.', name.slice(0, 100));
    if (value === '' || take(search, name, value, options)) continue;
    if (options.strict)
      throw notSupported(`The parameter '${name.slice(0, 100)}' is not known for AuditEvent.`, name.slice(0, 100));
    search.ignored.push(name.slice(0, 100));
  }
  return search;
}

function take(search: AuditSearch, name: string, value: string, options: { maxPage: number; utcOffset: string }): boolean {
  const criteria = search.criteria;
  const choice = value.split(',');
  if (choice.length > MOST_ALTERNATIVES) throw invalid(`At most ${MOST_ALTERNATIVES} alternatives are taken.`, name);
  switch (name) {
    case 'patient':
      criteria.patients = both(
        criteria.patients,
        choice.map((v) => v.replace(/^Patient\//, '')),
      );
      return true;
    case 'agent':
      criteria.agents = both(criteria.agents, choice.flatMap(agentsNamed));
      return true;
    case 'date':
      criteria.recorded = [...(criteria.recorded ?? []), choice.flatMap((v) => spans(v, options.utcOffset))];
      return true;
    case 'outcome':
      criteria.outcomes = both(criteria.outcomes, choice.map((v) => codeAmong(name, v, ['0', '4', '8', '12'])).map(Number));
      return true;
    case 'action':
      criteria.actions = both(
        criteria.actions,
        choice.map((v) => codeAmong(name, v, ['C', 'R', 'U', 'D', 'E'])),
      );
      return true;
    case 'type':
      criteria.types = both(criteria.types, choice.map(code));
      return true;
    case 'subtype':
      criteria.subtypes = both(criteria.subtypes, choice.map(code));
      return true;
    case 'entity':
      criteria.entities = both(criteria.entities, choice);
      return true;
    case '_count':
      if (!/^[1-9]\d{0,5}$/.test(value)) throw invalid('_count must be a whole number from 1.', name);
      criteria.count = Math.min(Number(value), options.maxPage);
      return true;
    case '_sort':
      if (value !== '-date') throw notSupported('AuditEvents come newest first: _sort takes -date.', name);
      return true;
    case '_format':
      return /json/.test(value);
    case '_cursor':
      search.cursor = value;
      return true;
    default:
      return false;
  }
}

/** A parameter given twice must hold twice: of two choices what both contain is left. */
function both<T>(before: readonly T[] | undefined, now: readonly T[]): T[] {
  return before ? now.filter((v) => before.includes(v)) : [...now];
}

const PEOPLE = ['Practitioner', 'Patient', 'RelatedPerson', 'Account', 'Client', 'Device'];

function agentsNamed(value: string): string[] {
  return value.includes('/') ? [value] : [...PEOPLE, 'Organization'].map((type) => `${type}/${value}`);
}

const code = (value: string): string => value.slice(value.lastIndexOf('|') + 1);

function codeAmong(name: string, value: string, codes: readonly string[]): string {
  if (!codes.includes(code(value))) throw invalid(`'${name}' takes ${codes.join(', ')}.`, name);
  return code(value);
}

/** Prefixes of R4 3.1.1.4.6, on a value that is one instant. */
function spans(value: string, utcOffset: string): TimeSpan[] {
  const [, prefix = 'eq', text = ''] = /^(eq|ne|gt|lt|ge|le|sa|eb)?(\d.*)$/.exec(value) ?? [];
  const { from, until } = dateRange(text, utcOffset) ?? {};
  if (!from || !until) throw invalid('Not a date, or a prefix that is not offered.', 'date');
  const choices: Record<string, TimeSpan[]> = {
    eq: [{ from, until }],
    ne: [{ until: from }, { from: until }],
    gt: [{ from: until }],
    sa: [{ from: until }],
    ge: [{ from }],
    lt: [{ until: from }],
    eb: [{ until: from }],
    le: [{ until }],
  };
  return choices[prefix] ?? [];
}

/** The place that an opened cursor stands for. @throws Refusal 400 when it is none. */
export function positionOf(text: string): NonNullable<AuditCriteria['after']> {
  const position = parseAuditEventId(text);
  if (!position) throw invalid('The cursor is not valid for this search.', '_cursor');
  return position;
}
