import { scopeAllows } from '../access/authentication/scopes.js';
import type { Caller } from '../access/caller.js';
import type { RequestAccess, RowWithEvidence } from '../access/decision.js';
import { type Shown, shown, visible } from '../access/shown.js';
import type { Queryable } from '../store/database.js';
import { columns, toResource } from '../store/resources.js';
import type { SearchKey } from '../store/search-keys.js';
import { tokenKey } from '../store/tokens.js';
import { and, join, or, raw, type Sql, sql } from '../store/sql.js';
import type { Include } from './search-includes.js';
import { isType, typeLiteral } from './types.js';

/** What the caller sees of a row, with the decision that says so. */
export type Judged = Shown;

const MAX_INCLUDED = 1000;
/** How often `:iterate` goes on from what was included. */
const MAX_ROUNDS = 4;

/**
 * `_include` and `_revinclude`, once or again and again: under the same policy and scope as if each had been asked for alone.
 * @returns each record once, in the order of the rounds, then of type and id; `isCut` when there would be more.
 */
export async function includedWith(
  tx: Queryable,
  access: RequestAccess,
  { scope }: Caller,
  includes: readonly Include[],
  matches: readonly RowWithEvidence[],
): Promise<{ included: Judged[]; isCut: boolean }> {
  const allowed = includes.filter((i) => !i.isReverse || scopeAllows(scope, i.source, 's'));
  const included: Judged[] = [];
  const known = [...matches];
  let from = matches;
  for (let round = 0; from.length > 0; round += 1) {
    const asked = round === 0 ? allowed : allowed.filter((i) => i.iterates);
    const statement = roundStatement(access, scope, asked, from, known, MAX_INCLUDED - included.length + 1);
    const rows = statement ? await tx.query<RowWithEvidence>(statement) : [];
    if (rows.length > 0 && round === MAX_ROUNDS) return { included, isCut: true };
    from = rows.slice(0, MAX_INCLUDED - included.length);
    known.push(...from);
    included.push(...judged(access, from));
    if (rows.length > from.length) return { included, isCut: true };
  }
  return { included, isCut: false };
}

export const judged = (access: RequestAccess, rows: readonly RowWithEvidence[]): Judged[] =>
  rows.flatMap((row) => shown(access, row) ?? []);

/** What one round finds beyond what is known, a part for each type. */
function roundStatement(
  access: RequestAccess,
  scope: string,
  includes: readonly Include[],
  from: readonly RowWithEvidence[],
  known: readonly RowWithEvidence[],
  limit: number,
): Sql | undefined {
  const wanted = new Map<string, Sql[]>();
  const want = (type: string, condition: Sql): void => void wanted.set(type, [...(wanted.get(type) ?? []), condition]);
  for (const [type, ids] of referencedBy(includes, from))
    if (scopeAllows(scope, type, 'r')) want(type, sql`r.id = any(${[...ids]}::text[])`);
  for (const include of includes.filter((i) => i.isReverse)) {
    const targets = from.filter((row) => include.targets.includes(row.type));
    if (targets.length > 0) want(include.source, refersTo(include.key, targets));
  }
  const idsOf = (type: string): string[] => known.filter((row) => row.type === type).map((row) => row.id);
  const parts = [...wanted].map(
    ([type, conditions]) => sql`
    select ${columns}, ${access.evidence} from resource r
    where ${and([
      sql`r.type = ${typeLiteral(type)}`,
      raw('not r.deleted'),
      or(conditions),
      sql`not r.id = any(${idsOf(type)}::text[])`,
      visible(access, type),
    ])}`,
  );
  if (parts.length === 0) return undefined;
  return sql`select * from (${join(parts, ' union all ')}) found order by found.type, found.id limit ${limit}`;
}

/** Ids of what the rows refer to by `_include`, by type. */
function referencedBy(includes: readonly Include[], from: readonly RowWithEvidence[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const forward = includes.filter((i) => !i.isReverse);
  for (const row of from) {
    const applicable = forward.filter((i) => i.source === row.type);
    const resource = applicable.length > 0 ? toResource(row) : undefined;
    for (const { key, targets } of resource ? applicable : [])
      for (const [type, id] of referencesOf(key.values(resource!)))
        if (targets.includes(type) && isType(type)) found.set(type, (found.get(type) ?? new Set()).add(id));
  }
  return found;
}

function referencesOf(values: readonly unknown[]): [type: string, id: string][] {
  return values.flatMap((v): [string, string][] => {
    const [, type, id] =
      /^([A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})$/.exec((v as { reference?: string } | null)?.reference ?? '') ?? [];
    return type && id ? [[type, id]] : [];
  });
}

function refersTo(key: SearchKey, targets: readonly RowWithEvidence[]): Sql {
  if (key.kind === 'patient') return sql`r.patient_id = any(${targets.map((row) => row.id)}::text[])`;
  return sql`r.tokens && ${targets.map((row) => tokenKey(`${key.name}=${row.type}/${row.id}`))}::text[]`;
}
