import { readingsOf, soughtName } from '../../store/name-words.js';
import { and, or, raw, type Sql, sql } from '../../store/sql.js';
import { likePattern } from './match.js';
import { itemsOf } from './text-conditions.sql.js';

/** The words of Patients are looked for by their beginnings, in the index of names. */
const wordBegins = (beginning: string): Sql =>
  sql`r.id in (select w.id from name_word w where w.type = 'Patient' and w.word like ${`${likePattern(literal(beginning))}%`})`;

/** What is no wildcard. */
const literal = (text: string): string => text.replace(/[*?]/g, '');

const HAN_WORD = raw("select from name_word h where h.type = 'Patient' and h.id = r.id and h.word ~ '[\\u3400-\\u9fff]'");

/**
 * A Patient is called like this (fuzzymatching, PS3.18 section 8.3.4.2): in characters, or in pinyin with the words in any order, apart or joined. Without
 * case, marks and tones, and by the beginning of each word. Characters find names in letters that are read so, and no other characters.
 */
export function isCalledLike(text: string): Sql {
  const { letters, characters } = soughtName(text);
  const tests: Sql[] = [];
  if (letters.length > 0)
    tests.push(or([wordBegins(letters.join('')), ...(letters.length > 1 ? [and(letters.map(wordBegins))] : [])]));
  if (characters !== '') {
    const spelt = and([or(readingsOf(characters).map(wordBegins)), sql`not exists (${HAN_WORD})`]);
    tests.push(or([wordBegins(characters), spelt]));
  }
  return and(tests);
}

/** A name of the Patient as a component group of PN (PS3.5 section 6.2.1.1): `wang^xiaodong`. */
const GROUP = raw(`lower(rtrim(concat_ws('^',
  coalesce(n->>'family', case when n->'given' is null then n->>'text' end, ''), coalesce(n->'given'->>0, ''), coalesce(n->'given'->>1, ''),
  coalesce(n->'prefix'->>0, ''), coalesce(n->'suffix'->>0, '')), '^'))`);

/**
 * A Patient is called exactly so, wildcards aside (PS3.4 C.2.2.2.4): each component group that is given is met by one of the names. Case does not
 * matter. The longest run of letters without wildcards is looked for in the index of names first.
 */
export function isCalled(pattern: string): Sql {
  const groups = pattern.toLowerCase().normalize('NFKC').split('=').slice(0, 3);
  const tests = groups
    .map((group) => group.replace(/[\s^]+$/, ''))
    .filter((group) => group !== '' && !/^\*+$/.test(group))
    .map((group) =>
      and([
        ...indexed(group),
        sql`exists (select from ${itemsOf(raw("r.content->'name'"), 'n')} where ${GROUP} like ${likePattern(group)})`,
      ]),
    );
  return and(tests);
}

function indexed(group: string): Sql[] {
  const runs = group.split(/[*?^\s=,;·]+/);
  const [longest = ''] = [...runs].sort((a, b) => b.length - a.length);
  if (longest === '') return [];
  if (runs[0] === longest) return [wordBegins(longest)];
  return [sql`r.id in (select w.id from name_word w where w.type = 'Patient' and w.word like ${`%${likePattern(longest)}%`})`];
}

/** Referring Physician's Name: nobody is registered for it, so that it is looked for as text, each component group by itself. */
export function referrerMeets(name: Sql, pattern: string, fuzzy: boolean): Sql {
  if (fuzzy) {
    const { letters, characters } = soughtName(pattern);
    const words = [...letters, characters].filter(Boolean);
    return and(words.map((word) => sql`coalesce(lower(${name}) like ${`%${likePattern(word)}%`}, false)`));
  }
  const groups = pattern.toLowerCase().split('=').slice(0, 3);
  const isGroup = (group: string): Sql =>
    sql`exists (select from unnest(string_to_array(lower(${name}), '=')) as g where rtrim(g, '^ ') like ${likePattern(group.replace(/[\s^]+$/, ''))})`;
  return and(groups.filter((group) => group !== '' && !/^\*+$/.test(group)).map(isGroup));
}
