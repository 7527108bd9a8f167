import { or, raw, type Sql, sql } from '../../store/sql.js';
import { endOfRange, likePattern, type Match } from './match.js';

/** A text meets a match, as `meets` decides it: a text that is absent meets none. @param text an expression of type text */
export function textMeets(text: Sql, match: Match): Sql {
  switch (match.kind) {
    case 'one-of':
      return sql`coalesce(${text} = any(${match.values}::text[]), false)`;
    case 'like': {
      const subject = match.isFolded ? sql`lower(${text})` : text;
      const patterns = match.patterns.map((p) => likePattern(match.isFolded ? p.toLowerCase() : p));
      return sql`coalesce(${or(patterns.map((p) => sql`${subject} like ${p}`))}, false)`;
    }
    case 'range': {
      const from = match.from === undefined ? raw('true') : sql`${text} collate "C" >= ${match.from}`;
      const until = match.until === undefined ? raw('true') : sql`${text} collate "C" <= ${endOfRange(match.until)}`;
      return sql`coalesce(${text} <> '' and ${from} and ${until}, false)`;
    }
    case 'number':
      return sql`coalesce(${text} = ${String(match.value)}, false)`;
  }
}

/** An array of a resource, also where the element is absent; each of its items under the alias. */
export const itemsOf = (element: Sql, alias: 'i' | 's' | 'n'): Sql =>
  sql`json_array_elements(case when json_typeof(${element}) = 'array' then ${element} else '[]'::json end) as ${raw(alias)}`;
