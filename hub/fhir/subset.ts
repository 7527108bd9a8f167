import { systems, type TypeRule, typeRule } from '../../fhir-profiles/index.js';
import { invalid } from '../outcomes.js';
import type { FhirResource } from '../store/search-keys.js';

/** A part of each resource: `_summary` (R4 3.1.1.5.8) or `_elements` (3.1.1.5.9). */
export type View = { kind: 'summary' | 'text' | 'data' } | { kind: 'elements'; names: ReadonlySet<string> };

/** What `_summary` takes; undefined: the whole resource, or none. */
export const SUMMARIES: Readonly<Record<string, View | undefined>> = {
  true: { kind: 'summary' },
  text: { kind: 'text' },
  data: { kind: 'data' },
  count: undefined,
  false: undefined,
};

/** @throws Refusal 400 for what is no list of elements of a resource's own. */
export function elementsView(value: string): View {
  const names = value.split(',');
  if (!names.every((name) => /^[A-Za-z]{1,64}$/.test(name)))
    throw invalid('_elements takes names of elements, with commas.', '_elements');
  return { kind: 'elements', names: new Set(names) };
}

const SUBSETTED = { system: systems.observationValue, code: 'SUBSETTED' };

/** Never left out: what the resource is, and what changes the meaning of the rest. */
const KEPT: ReadonlySet<string> = new Set(['resourceType', 'id', 'meta', 'implicitRules', 'modifierExtension']);

/** The part of a resource as JSON text, marked as a part (tag SUBSETTED). Mandatory elements stay. */
export function subset(text: string, view: View | undefined): string {
  if (!view) return text;
  const resource = JSON.parse(text) as FhirResource;
  const rule = typeRule(resource.resourceType);
  const kept = Object.entries(resource).filter(([key]) => KEPT.has(key) || isIn(view, key, rule));
  const part = view.kind === 'summary' ? kept.map(([key, value]) => [key, summaryOf(value, elementOf(rule, key)?.type)]) : kept;
  const { meta, ...rest } = Object.fromEntries(part) as FhirResource;
  const { resourceType, id, ...elements } = rest;
  return JSON.stringify({ resourceType, id, meta: { ...resource.meta, tag: [...(meta?.tag ?? []), SUBSETTED] }, ...elements });
}

/** An update by what was read in part would lose the rest. */
export const isSubsetted = (resource: FhirResource): boolean =>
  [resource.meta?.tag ?? []].flat().some((t) => t?.system === SUBSETTED.system && t.code === SUBSETTED.code);

/** A property that begins with an underscore holds the extensions of its element. */
const elementOf = (rule: TypeRule | undefined, key: string) => rule?.elements.get(key.replace(/^_/, ''));

function isIn(view: View, key: string, rule: TypeRule | undefined): boolean {
  const element = elementOf(rule, key);
  const isMandatory = (element?.min ?? 0) > 0;
  switch (view.kind) {
    case 'data':
      return key !== 'text';
    case 'text':
      return key === 'text' || isMandatory;
    case 'summary':
      return isMandatory || element?.summary === true;
    case 'elements':
      return isMandatory || view.names.has(key.replace(/^_/, '')) || view.names.has(element?.name ?? '');
  }
}

/** Summary elements of a summary element; what has no rules of its own is whole. */
function summaryOf(value: unknown, rule: TypeRule | undefined): unknown {
  if (Array.isArray(value)) return value.map((v) => summaryOf(v, rule));
  if (!rule || typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => isIn({ kind: 'summary' }, key, rule));
  return Object.fromEntries(kept.map(([key, v]) => [key, summaryOf(v, elementOf(rule, key)?.type)]));
}
