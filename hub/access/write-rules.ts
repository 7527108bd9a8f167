import { isDeepStrictEqual } from 'node:util';
import { type Issue, type Refusal, unprocessable } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import type { FhirResource } from '../store/search-keys.js';
import { linkOf } from '../store/cluster.sql.js';
import { sql } from '../store/sql.js';

const issue = (code: string, diagnostics: string, expression: string): Issue => ({
  severity: 'error',
  code,
  diagnostics,
  expression: [expression],
});

/** 422 against a business rule, naming the element. */
export const refused = (diagnostics: string, expression: string): Refusal =>
  unprocessable([issue('business-rule', diagnostics, expression)]);

/** 422 for a reference: the same for what does not exist and for what the caller may not know of. */
export const nowhere = (expression: string): Refusal =>
  unprocessable([issue('not-found', 'The reference points to nothing that you may refer to.', expression)]);

/** Elements of every resource that the hub keeps itself. */
const HUB_KEPT = ['resourceType', 'id', 'meta'];

/**
 * What an update may change.
 * @param free elements that may change as they like.
 * @param growing lists that may only be added to, at their end.
 * @throws Refusal 422 naming each element that changed against this.
 */
export function assertOnlyChanges(
  before: FhirResource,
  after: FhirResource,
  { free, growing }: { free: readonly string[]; growing: readonly string[] },
): void {
  const skipped = new Set([...HUB_KEPT, ...free, ...growing]);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !skipped.has(name));
  const changed = names.filter((name) => !isSameJson(before[name], after[name]));
  const rewritten = growing.filter((name) => {
    const kept: unknown[] = before[name] ?? [];
    return !isSameJson(kept, (after[name] ?? []).slice(0, kept.length));
  });
  const at = (name: string): string => `${before.resourceType}.${name}`;
  const issues = [
    ...changed.map((name) => issue('business-rule', 'This element does not change by an update.', at(name))),
    ...rewritten.map((name) => issue('business-rule', 'Entries are added at the end, never changed.', at(name))),
  ];
  if (issues.length > 0) throw unprocessable(issues);
}

/** The order of an object's members says nothing; an absent one is like an undefined one. */
function isSameJson(a: unknown, b: unknown): boolean {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));
  return isDeepStrictEqual(plain(a), plain(b));
}

/** Whether two Patient ids are one record or are linked as one person now. */
export async function isSamePerson(tx: Queryable, a: string, b: string): Promise<boolean> {
  if (a === b) return true;
  const linked = await tx.query(linkOf(sql`${a}`, sql`${b}`));
  return linked.length > 0;
}
