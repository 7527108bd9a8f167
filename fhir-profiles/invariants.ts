/**
 * Invariants of FHIR definitions and of our profiles: FHIRPath, evaluated by @medplum/core. The few that the hot paths meet, or
 * that need what the library lacks (comparing dateTimes of different offsets, `htmlChecks()`), are written out here.
 */
import { evalFhirPathTyped, type FhirPathAtom, parseFhirPath } from '@medplum/core';
import { definitelyAfter } from './date-range.js';

export interface InvariantContext {
  /** Nearest resource around the element, contained ones included. */
  resource: Record<string, unknown>;
  /** The resource that contains it, or itself. */
  rootResource: Record<string, unknown>;
}

export interface Invariant {
  key: string;
  human: string;
  /** @returns false when the rule does not hold, or can't be evaluated. */
  holds: (value: Record<string, unknown>, type: string, context: InvariantContext) => boolean;
}

type Json = Record<string, unknown>;
type Check = (value: Json, context: InvariantContext) => boolean;

/** Compiles one constraint; the expression is parsed at its first use. */
export function compileInvariant(constraint: { key: string; expression: string; human: string }): Invariant {
  const { key, expression, human } = constraint;
  const written = writtenOut.get(`${key} ${expression}`) ?? writtenOut.get(key);
  if (written) return { key, human, holds: (value, _type, context) => written(value, context) };
  let atom: FhirPathAtom | undefined;
  const holds: Invariant['holds'] = (value, type, context) => {
    try {
      atom ??= parseFhirPath(expression);
      const [result, ...more] = evalFhirPathTyped(atom, [{ type, value }], variables(context));
      return more.length === 0 && result?.value === true;
    } catch {
      return false;
    }
  };
  return { key, human, holds };
}

function variables({ resource, rootResource }: InvariantContext) {
  return {
    '%resource': { type: String(resource['resourceType']), value: resource },
    '%rootResource': { type: String(rootResource['resourceType']), value: rootResource },
    '%ucum': { type: 'string', value: 'http://unitsofmeasure.org' },
  };
}

const writtenOut = new Map<string, Check>([
  ['dom-2', (resource) => objects(resource['contained']).every((inner) => inner['contained'] === undefined)],
  ['dom-3', everyContainedIsReferenced],
  ['dom-4', (resource) => metas(resource).every((meta) => meta['versionId'] === undefined && meta['lastUpdated'] === undefined)],
  ['dom-5', (resource) => metas(resource).every((meta) => meta['security'] === undefined)],
  ['ext-1', (extension) => objects(extension['extension']).length > 0 !== hasValue(extension)],
  ['ref-1', containedReferenceResolves],
  ['per-1', (period) => !definitelyAfter(period['start'], period['end'])],
  // Two resources use the key inv-1: the expression tells Task's from that of Parameters.
  [
    'inv-1 lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn',
    (task) => !definitelyAfter(task['authoredOn'], task['lastModified']),
  ],
  ['qty-3', (quantity) => quantity['code'] === undefined || quantity['system'] !== undefined],
  ['cpt-2', (point) => point['value'] === undefined || point['system'] !== undefined],
  // Checked with the type xhtml.
  ['txt-1', () => true],
  ['txt-2', () => true],
  ['bdl-3', (bundle) => entriesHave(bundle, 'request', ['batch', 'transaction', 'history'])],
  ['bdl-4', (bundle) => entriesHave(bundle, 'response', ['batch-response', 'transaction-response', 'history'])],
  ['bdl-5', (entry) => ['resource', 'request', 'response'].some((key) => entry[key] !== undefined)],
  ['bdl-7', (bundle) => bundle['type'] === 'history' || fullUrlsAreDistinct(bundle)],
  ['bdl-8', (entry) => !String(entry['fullUrl'] ?? '').includes('/_history/')],
]);

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
function containedReferenceResolves(reference: Json, { rootResource }: InvariantContext): boolean {
  const target = reference['reference'];
  if (typeof target !== 'string' || !target.startsWith('#')) return true;
  return target === '#' || objects(rootResource['contained']).some((inner) => inner['id'] === target.slice(1));
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
