import {
  blindIndexes,
  isProtected,
  looksNational,
  normalisedIdentifier,
  type Protection,
  type ValueHolder,
} from './protection.js';
import { keyed, raw, type Sql, sql } from './sql.js';

/**
 * The value of an identifier as patient_identifier holds it: a protected one as its blind index, which is the same under every system.
 * The form that is written comes first; the others lie under keys that are being replaced.
 */
export const storedForms = (protection: Protection, holder: ValueHolder & { value: string }): string[] =>
  isProtected(protection, holder) ? indexesOf(protection, holder.value) : [holder.value];

const indexesOf = (protection: Protection, value: string): string[] =>
  blindIndexes(protection, `identifier-value=${normalisedIdentifier(value)}`);

/** Every form in which patient_identifier may hold a value that somebody searches: as it is, or its blind index under any key. */
export function searchedIdentifier(protection: Protection, { system, value }: { system?: string; value: string }): string[] {
  const isCertain = looksNational(value) || (system !== undefined && protection.systems.has(system));
  return [...(isCertain ? [] : [value]), ...indexesOf(protection, value)];
}

/** The identifier of the table's alias is this one; without a system, of whatever system. */
export function identifierIs(alias: 'i' | 'n', { system, value }: { system?: string; value: string }): Sql {
  const values = keyed((p) => searchedIdentifier(p, { system, value }));
  const isValue = sql`${raw(alias)}.value = any(${values}::text[])`;
  return system === undefined ? isValue : sql`(${raw(alias)}.system = ${system} and ${isValue})`;
}
