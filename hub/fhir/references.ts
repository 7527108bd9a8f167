import { asCaller, asRemembered } from '../access/as-caller.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { RequestAccess } from '../access/decision.js';
import { findRow } from '../access/find-row.js';
import { unprocessable } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { toResource } from '../store/resources.js';
import { type FhirResource, localReference } from '../store/search-keys.js';
import { and, join, oneOf, raw, type Sql, sql } from '../store/sql.js';
import { typeLiteral, typeRules } from './types.js';

/** A reference found in a resource: the object that holds it, and where. */
interface Found {
  holder: { reference: string };
  at: string;
}

/** All `reference` strings of a resource; profiles bound its depth and size. */
export function referencesIn(value: unknown, at: string): Found[] {
  const found: Found[] = [];
  const path: string[] = [];
  const visit = (node: unknown, step: string): void => {
    if (typeof node !== 'object' || node === null) return;
    path.push(step);
    if (Array.isArray(node)) for (let i = 0; i < node.length; i += 1) visit(node[i], `[${i}]`);
    else {
      const holder = node as Found['holder'] & Record<string, unknown>;
      if (typeof holder.reference === 'string') found.push({ holder, at: `${at}${path.join('')}.reference` });
      for (const name of Object.keys(holder)) if (typeof holder[name] === 'object') visit(holder[name], `.${name}`);
    }
    path.pop();
  };
  visit(value, '');
  return found;
}

/** Makes references to the hub's own base local ones: as absolute URLs they would go unchecked. The resource is changed in place. */
export function localiseReferences(resource: FhirResource, publicUrl: string): void {
  const base = `${publicUrl}/fhir/`;
  for (const { holder } of referencesIn(resource, ''))
    if (holder.reference.startsWith(base)) holder.reference = holder.reference.slice(base.length);
}

/** Replaces references by a map (urn:uuid of a Bundle entry -> Type/id). The resource is a parsed body of our own: it is changed in place. */
export function replaceReferences(resource: FhirResource, targets: ReadonlyMap<string, string>): void {
  if (targets.size === 0) return;
  for (const { holder } of referencesIn(resource, '')) holder.reference = targets.get(holder.reference) ?? holder.reference;
}

/**
 * Every local reference must point to something that the caller may know of: what he may not know of is answered like what does not
 * exist. Absolute URLs of other servers and contained resources are left as they are.
 * @param given `Type/id` of the resources that the same transaction writes.
 * Of a resource that is updated, references that its current version has already (`kept`) are left as they are too.
 * @throws Refusal 422 that names each reference to nowhere.
 */
export async function assertReferences(
  tx: Queryable,
  access: RequestAccess,
  resources: readonly Referring[],
  given: ReadonlySet<string>,
): Promise<void> {
  const local = localReferences(resources, given);
  if (local.length > 0) assertKnown(local, await tx.query<Target>(knownTargets(access, local)));
}

/** The caller's policy, with the references of one new resource checked in the statement that finds that it stands. */
export async function accessAndReferences(
  tx: Queryable,
  access: Access,
  caller: Caller,
  resource: FhirResource,
): Promise<RequestAccess> {
  const local = localReferences([{ resource, at: '' }], new Set());
  if (local.length === 0) return access.forCaller(tx, caller);
  const known = (a: RequestAccess): Sql => knownTargets(a, local);
  const found = (await asRemembered<Target>(tx, access, caller, known)) ?? (await asCaller<Target>(tx, access, caller, known));
  assertKnown(local, found.rows);
  return found.access;
}

interface Referring {
  resource: FhirResource;
  at: string;
  kept?: ReadonlySet<string>;
}

type Target = { type: string; id: string; survivor: string | null };
type LocalReference = Found & { target: string };

function localReferences(resources: readonly Referring[], given: ReadonlySet<string>): LocalReference[] {
  return resources
    .flatMap(({ resource, at, kept }) =>
      referencesIn(resource, at || resource.resourceType).filter((f) => !kept?.has(f.holder.reference)),
    )
    .map((f) => ({ ...f, target: localReference(f.holder.reference) }))
    .filter((f) => !isForeign(f.target) && !given.has(f.target));
}

function assertKnown(local: readonly LocalReference[], rows: readonly Target[]): void {
  const known = new Set(rows.map((r) => `${r.type}/${r.id}`));
  const merged = new Map(rows.flatMap((r) => (r.survivor ? [[`${r.type}/${r.id}`, r.survivor]] : [])));
  const wrong = local.filter((f) => !known.has(f.target) || merged.has(f.target));
  if (wrong.length === 0) return;
  throw unprocessable(
    wrong.slice(0, 20).map(({ target, at }) => ({
      severity: 'error',
      code: merged.has(target) ? 'business-rule' : 'not-found',
      diagnostics: merged.has(target)
        ? `The Patient was given up: refer to Patient/${merged.get(target)}.`
        : 'The reference points to nothing that you may refer to.',
      expression: [at],
    })),
  );
}

/**
 * References of the current version of a resource that the caller may write: an update gives them back unchanged, whether or not he may
 * know of their targets (a performer answers a Task before it may see what is attached). Empty for anything else.
 */
export async function keptReferences(
  tx: Queryable,
  access: RequestAccess,
  type: string,
  id: string | undefined,
): Promise<ReadonlySet<string>> {
  const row = id === undefined ? undefined : await findRow(tx, access, type, id);
  if (!row || !access.decide('write', row).allowed) return new Set();
  return new Set(referencesIn(toResource(row), '').map((f) => f.holder.reference));
}

const isForeign = (target: string): boolean =>
  target.startsWith('#') || /^https?:\/\//.test(target) || /^urn:(oid|iso):/.test(target);

/** Whom a Patient that was given up was given up for. */
const SURVIVOR = raw('(select m.survivor_id from patient_merge m where m.retired_id = r.id)');

/** What of the targets the caller may know of, a part for each type. */
function knownTargets(access: RequestAccess, local: readonly LocalReference[]): Sql {
  const idsOf = new Map<string, Set<string>>();
  for (const [type = '', id = '', ...more] of local.map((f) => f.target.split('/')))
    if (more.length === 0 && Object.hasOwn(typeRules, type)) idsOf.set(type, (idsOf.get(type) ?? new Set()).add(id));
  const ofTypes = [...idsOf].map(
    ([type, ids]) => sql`
    select r.type, r.id, ${type === 'Patient' ? SURVIVOR : raw('null')} as survivor from resource r
    where ${and([sql`r.type = ${typeLiteral(type)}`, oneOf(raw('r.id'), [...ids]), raw('not r.deleted'), access.filter('know', type)])}`,
  );
  return join(ofTypes, ' union all ', 'select null::text as type, null::text as id, null::text as survivor where false');
}
