import type { PartialAccess, RequestAccess } from '../access/decision.js';
import { and, or, raw, type Sql, sql } from '../store/sql.js';
import type { Condition } from './search-conditions.js';
import { conditionSql } from './search-conditions.sql.js';
import { typeLiteral } from './types.js';

const STUDY = 'ImagingStudy';

/**
 * The condition on `r` for studies that are shown in part, as at most one alternative: a search finds them by what is shown of them, so that
 * nobody learns of the other series by asking. A condition that can't be told of the part alone (`:not`, `:missing`, `_has`, what the part leaves
 * out) finds none of them.
 */
export function inPart(access: RequestAccess, search: { type: string; conditions: readonly Condition[] }): Sql[] {
  const { part } = access;
  if (!part || search.type !== STUDY) return [];
  const tests = search.conditions.map((condition) => ofPart(condition, access, part));
  if (!tests.every((test) => test !== undefined)) return [];
  return [and([sql`r.type = ${typeLiteral(STUDY)}`, raw('not r.deleted'), part.filter, ...tests])];
}

/** Parameters whose elements a part shows as they are. */
const KEPT: readonly string[] = ['identifier', 'status'];
const OF_SERIES: Readonly<Record<string, 'modality' | 'bodySite' | undefined>> = { modality: 'modality', bodysite: 'bodySite' };

function ofPart(condition: Condition, access: RequestAccess, part: PartialAccess): Sql | undefined {
  switch (condition.kind) {
    case 'id':
    case 'date':
    case 'patient':
    case 'patient-identifier':
      return conditionSql(STUDY, condition, access);
    case 'token':
      return tokenOfPart(condition, access, part);
    case 'chain':
      return condition.key.kind === 'patient' ? conditionSql(STUDY, condition, access) : undefined;
    default:
      return undefined;
  }
}

function tokenOfPart(
  condition: Extract<Condition, { kind: 'token' }>,
  access: RequestAccess,
  part: PartialAccess,
): Sql | undefined {
  const names = new Set(condition.keys.map((key) => key.slice(0, key.indexOf('='))));
  const [name = ''] = names;
  if (names.size !== 1) return undefined;
  if (KEPT.includes(name)) return conditionSql(STUDY, condition, access);
  const element = Object.hasOwn(OF_SERIES, name) ? OF_SERIES[name] : undefined;
  return element && part.someSeries(or(condition.keys.map((key) => codingIs(element, key.slice(name.length + 1)))));
}

/** R4 3.1.1.4.10 on a Coding of the series `s`: `code`, `system|code`, `|code`, `system|`. */
function codingIs(element: 'modality' | 'bodySite', value: string): Sql {
  const [system, code] = [sql`s->${raw(`'${element}'`)}->>'system'`, sql`s->${raw(`'${element}'`)}->>'code'`];
  const bar = value.indexOf('|');
  if (bar < 0) return sql`coalesce(${code} = ${value}, false)`;
  const [wantedSystem, wantedCode] = [value.slice(0, bar), value.slice(bar + 1)];
  const ofSystem = sql`coalesce(${system}, '') = ${wantedSystem}`;
  return wantedCode === '' && wantedSystem !== ''
    ? sql`(${ofSystem} and ${code} is not null)`
    : sql`(${ofSystem} and coalesce(${code} = ${wantedCode}, false))`;
}
