/**
 * Invariants of FHIR R4 that are written out instead of interpreted: those that hot paths meet or that may repeat, and those that
 * need what @medplum/core lacks (comparing dateTimes of different offsets, `htmlChecks()`, `descendants()`).
 */
import { definitelyAfter } from './date-range.js';
import type { InvariantContext, Json } from './run.js';

/** By key, or by key and expression where definitions share a key. */
export const writtenInvariants = new Map<string, (value: Json, context: InvariantContext) => boolean>([
  ['dom-2', (resource) => objects(resource['contained']).every((inner) => inner['contained'] === undefined)],
  ['dom-3', everyContainedIsReferenced],
  ['dom-4', (resource) => metas(resource).every((meta) => meta['versionId'] === undefined && meta['lastUpdated'] === undefined)],
  ['dom-5', (resource) => metas(resource).every((meta) => meta['security'] === undefined)],
  ['ext-1', (extension) => objects(extension['extension']).length > 0 !== hasValue(extension)],
  ['ref-1', containedReferenceResolves],
  ['per-1', (period) => !definitelyAfter(period['start'], period['end'])],
  [
    'inv-1 lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn',
    (task) => !definitelyAfter(task['authoredOn'], task['lastModified']),
  ],
  [
    'inv-1 (part.exists() and value.empty() and resource.empty()) or (part.empty() and (value.exists() xor resource.exists()))',
    (parameter) => [has(parameter, 'part'), hasValue(parameter), has(parameter, 'resource')].filter(Boolean).length === 1,
  ],
  ['pat-1', (contact) => ['name', 'telecom', 'address', 'organization'].some((name) => has(contact, name))],
  ['obs-3', (range) => ['low', 'high', 'text'].some((name) => has(range, name))],
  ['obs-6', (value) => !(has(value, 'dataAbsentReason') && hasValue(value))],
  ['att-1', (attachment) => !has(attachment, 'data') || has(attachment, 'contentType')],
  ['sev-1', (entity) => !(has(entity, 'name') && has(entity, 'query'))],
  ['qty-3', (quantity) => !has(quantity, 'code') || has(quantity, 'system')],
  ['cpt-2', (point) => !has(point, 'value') || has(point, 'system')],
  // Checked with the type xhtml.
  ['txt-1', () => true],
  ['txt-2', () => true],
  ['obs-7', valueOrComponentOfSameCode],
  ['bdl-3', (bundle) => entriesHave(bundle, 'request', ['batch', 'transaction', 'history'])],
  ['bdl-4', (bundle) => entriesHave(bundle, 'response', ['batch-response', 'transaction-response', 'history'])],
  ['bdl-5', (entry) => ['resource', 'request', 'response'].some((key) => entry[key] !== undefined)],
  ['bdl-7', (bundle) => bundle['type'] === 'history' || fullUrlsAreDistinct(bundle)],
  ['bdl-8', (entry) => !String(entry['fullUrl'] ?? '').includes('/_history/')],
]);

/** True for an element that is there by its value or, for a primitive, by extensions alone. */
function has(value: Json, name: string): boolean {
  return value[name] !== undefined || value[`_${name}`] !== undefined;
}

function objects(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : [];
}

function metas(resource: Json): Json[] {
  return objects(resource['contained']).flatMap((inner) => objects([inner['meta']]));
}

function hasValue(extension: Json): boolean {
  return Object.keys(extension).some((key) => /^_?value[A-Z]/.test(key) && extension[key] !== undefined);
}

/** ref-1: `#id` names a contained resource; `#` alone the container. */
function containedReferenceResolves(reference: Json, context: InvariantContext): boolean {
  const target = reference['reference'];
  if (typeof target !== 'string' || !target.startsWith('#')) return true;
  context.containedIds ??= new Set(objects(context.rootResource['contained']).map((inner) => inner['id']));
  return target === '#' || context.containedIds.has(target.slice(1));
}

/** obs-7 in linear time: a component whose code is the Observation's own excludes a value. */
function valueOrComponentOfSameCode(observation: Json): boolean {
  const own = new Set(codings(observation['code']));
  return (
    !hasValue(observation) ||
    !objects(observation['component']).some(({ code }) => codings(code).some((coding) => own.has(coding)))
  );
}

function codings(concept: unknown): string[] {
  const coding = objects([concept])[0]?.['coding'];
  return objects(coding).map(({ system, code, display }) => JSON.stringify([system, code ?? display]));
}

/** dom-3: a contained resource is referred to from elsewhere in the resource, or refers to it. */
function everyContainedIsReferenced(resource: Json): boolean {
  const contained = objects(resource['contained']);
  if (contained.length === 0) return true;
  const references = localReferences(resource);
  return contained.every((inner) => references.has(`#${inner['id']}`) || localReferences(inner).has('#'));
}

function localReferences(value: unknown, found = new Set<string>(), depth = 0): Set<string> {
  if (typeof value === 'string' && value.startsWith('#')) found.add(value);
  if (typeof value === 'object' && value !== null && depth < 100) {
    for (const child of Object.values(value)) localReferences(child, found, depth + 1);
  }
  return found;
}

function entriesHave(bundle: Json, property: string, types: string[]): boolean {
  const expected = types.includes(String(bundle['type']));
  return objects(bundle['entry']).every((entry) => (entry[property] !== undefined) === expected);
}

function fullUrlsAreDistinct(bundle: Json): boolean {
  const entries = objects(bundle['entry']).filter((entry) => entry['fullUrl'] !== undefined);
  const versionOf = (entry: Json) => objects([entry['resource']]).map((r) => objects([r['meta']])[0]?.['versionId'])[0] ?? '';
  return new Set(entries.map((entry) => `${entry['fullUrl']} ${versionOf(entry)}`)).size === entries.length;
}
