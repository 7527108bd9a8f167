import { invalid, notSupported } from '../../outcomes.js';
import { type Attribute, attributeAt, type Level, pathOf } from './attributes.js';
import { type Match, matchOf } from './match.js';

/** A key that selects: the attribute, and what its value has to be. */
export interface Key {
  attribute: Attribute;
  match: Match;
  /** As it was given. */
  value: string;
}

/** A QIDO-RS search as asked (PS3.18 section 8.3.4 and 10.6.1.2). */
export interface QidoQuery {
  level: Level;
  /** Below one study (and one series of it) instead of among all that the caller may see. */
  studyInstanceUid?: string;
  seriesInstanceUid?: string;
  keys: readonly Key[];
  /** Paths of attributes that are asked for beside those that every answer has; `all`: whatever is known. */
  include: ReadonlySet<string> | 'all';
  fuzzy: boolean;
  limit: number;
  offset: number;
  /** Organization id: the records of one custodian. */
  custodianId?: string;
}

/** Where a search begins: its level and what the path says. */
export type QidoTarget = Pick<QidoQuery, 'level' | 'studyInstanceUid' | 'seriesInstanceUid'>;

const MAX_VALUE = 2000;
const MAX_OFFSET = 10_000;
const MAX_INCLUDED = 200;

/** What a search answers at most at once; `limit` may ask for less. */
export interface Most {
  studies: number;
  others: number;
}

/** @throws Refusal 400 that names the parameter that is unknown or can't be understood. */
export function parseQido(target: QidoTarget, parameters: readonly (readonly [string, string])[], most: Most): QidoQuery {
  const largest = target.level === 'study' ? most.studies : most.others;
  const query = {
    ...target,
    keys: [] as Key[],
    include: new Set<string>() as Set<string> | 'all',
    fuzzy: false,
    limit: largest,
    offset: 0,
    custodianId: undefined as string | undefined,
  };
  const seen = new Set<string>();
  for (const [name, value] of parameters) {
    if (value.length > MAX_VALUE) throw invalid(`The value is longer than ${MAX_VALUE} characters.`, shown(name));
    if (/[\u0000-\u001f\u007f]/.test(value)) throw invalid('The value holds a control character.', shown(name));
    const subject = SHAPING.has(name) ? name : (pathOf(name) ?? name);
    if (subject !== 'includefield' && seen.has(subject)) throw invalid('The parameter is given twice.', shown(name));
    seen.add(subject);
    switch (name) {
      case 'limit':
        query.limit = Math.min(whole(value, name), largest);
        break;
      case 'offset':
        query.offset = whole(value, name);
        if (query.offset > MAX_OFFSET) throw notSupported(`offset goes to ${MAX_OFFSET}: narrow the search.`, name);
        break;
      case 'fuzzymatching':
        if (value !== 'true' && value !== 'false') throw invalid('fuzzymatching is true or false.', name);
        query.fuzzy = value === 'true';
        break;
      case 'includefield':
        query.include = included(query.include, value);
        break;
      case 'custodian':
        if (!/^[A-Za-z0-9\-.]{1,64}$/.test(value)) throw invalid('The custodian is the id of an Organization.', name);
        query.custodianId = value;
        break;
      default: {
        const attribute = keyOf(target, name);
        const match = matchOf(attribute.matching!, value, name);
        if (match) query.keys.push({ attribute, match, value });
        // universal matching: the value is asked for
        else if (query.include !== 'all') query.include.add(attribute.path);
      }
    }
  }
  return query;
}

const SHAPING: ReadonlySet<string> = new Set(['limit', 'offset', 'fuzzymatching', 'includefield', 'custodian']);

const LEVELS: readonly Level[] = ['study', 'series', 'instance'];

/** A key of the search's level, or of one above that the path does not fix. */
function keyOf({ level, studyInstanceUid, seriesInstanceUid }: QidoTarget, name: string): Attribute {
  const attribute = attributeAt(pathOf(name) ?? '');
  if (!attribute?.matching) throw notSupported(`'${shown(name)}' is no attribute that can be searched by here.`, shown(name));
  const fixed = seriesInstanceUid ? 2 : studyInstanceUid ? 1 : 0;
  const at = LEVELS.indexOf(attribute.level);
  if (at < fixed || at > LEVELS.indexOf(level))
    throw notSupported(`'${shown(name)}' is no attribute of the level that is searched here.`, shown(name));
  return attribute;
}

/** @throws Refusal 400 for what is no attribute of DICOM; what is not known of a study is only left out. */
function included(known: Set<string> | 'all', value: string): Set<string> | 'all' {
  if (value === 'all' || known === 'all') return 'all';
  const names = value.split(',').filter(Boolean);
  if (names.length + known.size > MAX_INCLUDED) throw invalid(`At most ${MAX_INCLUDED} attributes are taken.`, 'includefield');
  for (const name of names) {
    const path = pathOf(name.trim());
    if (!path) throw invalid(`'${shown(name)}' is no attribute of DICOM.`, 'includefield');
    known.add(path);
  }
  return known;
}

function whole(value: string, name: string): number {
  if (!/^\d{1,9}$/.test(value)) throw invalid(`${name} is a whole number.`, name);
  return Number(value);
}

const shown = (name: string): string => name.slice(0, 100);
