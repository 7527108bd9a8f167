import type { RequestAccess } from '../access/decision.js';
import { referenceToken } from '../store/reference-token.sql.js';
import { stepsOf } from '../store/search-keys.js';
import { mayBeProtected, searchedTokens } from '../store/tokens.js';
import { and, keyed, oneOf, or, raw, type Sql, sql } from '../store/sql.js';
import { instantSql, rangeSql } from './date-conditions.sql.js';
import { ofPatients, ofPersons } from './patient-conditions.js';
import type { Condition } from './search-conditions.js';
import { typeLiteral } from './types.js';

/** The conditions of a search on alias `r`. What they say of other records holds only of those that the caller may read. */
export const conditionsSql = (search: Selection, access: RequestAccess): Sql =>
  and([sql`r.type = ${typeLiteral(search.type)}`, selectionSql(search, access)]);

interface Selection {
  type: string;
  conditions: readonly Condition[];
}

/** Conditions that name whose records are searched: those are few, whatever else is asked. */
const isNaming = ({ kind }: Condition): boolean => kind === 'patient' || kind === 'patient-identifier';

/**
 * What a search goes through, as alias `r`, and what is left to ask of it. The records of the patients who are named are taken first, and policy
 * looks at each (`offset 0` keeps the planner from turning that round: it took a hospital's 175,000 records by its index to look at ten).
 * @param whole what there is to go through where nobody is named.
 */
export function searched<Search extends Selection>(
  search: Search,
  access: RequestAccess,
  whole: Sql = raw('resource'),
): { records: Sql; left: Search } {
  const naming = search.conditions.filter(isNaming);
  if (naming.length === 0) return { records: sql`${whole} r`, left: search };
  return {
    records: sql`(select * from resource r where ${conditionsSql({ type: search.type, conditions: naming }, access)} offset 0) r`,
    left: { ...search, conditions: search.conditions.filter((c) => !isNaming(c)) },
  };
}

/** The same within the records of the type. */
export const selectionSql = ({ type, conditions }: Selection, access: RequestAccess): Sql =>
  and([raw('not r.deleted'), ...conditions.map((c) => conditionSql(type, c, access))]);

export function conditionSql(type: string, c: Condition, access: RequestAccess): Sql {
  switch (c.kind) {
    case 'id':
      return oneOf(raw('r.id'), c.ids);
    case 'token':
      return tokenSql(type, c.keys);
    case 'patient':
    case 'patient-identifier':
      return ofPatients(access, c);
    case 'name':
      return sql`r.id in (select w.id from name_word w where w.type = ${type} and (${or(c.prefixes.map((p) => sql`w.word like ${`${likeLiteral(p)}%`}`))}))`;
    case 'date':
      return or(c.alternatives.map((test) => (c.column === 'last_updated' ? instantSql(test) : rangeSql(test))));
    case 'not':
      return sql`not (${conditionSql(type, c.of, access)})`;
    case 'any':
      return or(c.of.map((one) => conditionSql(type, one, access)));
    case 'missing':
      return c.isMissing ? sql`not ${present(c.elements)}` : present(c.elements);
    case 'chain':
      return chained(c, access);
    case 'has':
      return referredTo(type, c, access);
  }
}

/** Values that a large part of all studies have. */
const COMMON = new Set(['modality=CT', 'modality=MR', 'modality=DX', 'modality=CR', 'modality=US', 'status=available']);

/**
 * A value that a large part of all rows have is looked at in the row: through the index, which the planner takes for cheaper than it is, a caller
 * who may read 500 studies of a million would wait for 400,000 entries of the index. (`is true` keeps the statistics and does without the index.)
 */
function tokenSql(type: string, tokens: readonly string[]): Sql {
  // where a value may be stored as its blind index, any of its forms is the one
  const isOne = tokens.length === 1 && !tokens.some((token) => mayBeProtected(type, token));
  const keys = keyed((p) => tokens.flatMap((token) => searchedTokens(p, type, token)));
  const holds = sql`r.tokens ${raw(isOne ? '@>' : '&&')} ${keys}::text[]`;
  return tokens.some((token) => COMMON.has(token)) ? sql`(${holds}) is true` : holds;
}

const likeLiteral = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

/** One of the elements is there. No index tells this: it is looked up in the resource, after what narrows the search. */
function present(elements: readonly string[]): Sql {
  return or(
    elements.map((element) => {
      const [column, path] = element.startsWith('meta.') ? ['meta', element.slice('meta.'.length)] : ['content', element];
      const steps = stepsOf(path).map(
        ({ element: name, system }) => `."${name}"${system ? ` ? (@."system" == "${system}")` : ''}`,
      );
      return raw(`coalesce(jsonb_path_exists(r.${column}::jsonb, '$${steps.join('')}'), false)`);
    }),
  );
}

/** The records of one type that meet one condition, and that the caller may read: what he may not read is no link. */
const linking = (type: string, condition: Condition, access: RequestAccess): Sql =>
  and([conditionsSql({ type, conditions: [condition] }, access), access.filter('read', type)]);

/** R4 3.1.1.4.14: `r` refers to a record that meets the condition. By its patient it is chained as `patient` names Patients. */
function chained({ key, target, condition }: Extract<Condition, { kind: 'chain' }>, access: RequestAccess): Sql {
  const links = linking(target, condition, access);
  if (key.kind === 'patient') return ofPersons(links);
  return sql`r.tokens && array(select ${referenceToken(key.name, target, raw('r.id'))} from resource r where ${links})`;
}

/** R4 3.1.1.4.15: a record that meets the condition refers to `r`. */
function referredTo(type: string, { source, key, condition }: Extract<Condition, { kind: 'has' }>, access: RequestAccess): Sql {
  const links = linking(source, condition, access);
  if (key.kind === 'patient') return sql`r.id in (select r.patient_id from resource r where ${links})`;
  // the policy is written for `r`: what is referred to gets another name before the sources take that one
  return sql`exists (
    select from (select ${referenceToken(key.name, type, raw('r.id'))}) as referred (token)
      join resource r on r.tokens @> array[referred.token]
    where ${links})`;
}
