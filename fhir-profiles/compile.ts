/**
 * Turns the pruned definitions into tables that a validator walks: one TypeRule for each data type, resource type and
 * backbone element, with one entry for each JSON property that it may have.
 */
import { buildTypeName } from '@medplum/core';
import { definitions, type PrunedElement, type PrunedType } from './definitions.js';
import { compileInvariant, type Invariant } from './invariants.js';
import { isPrimitive, type Primitive, primitives } from './primitives.js';

export interface TypeRule {
  /** Type name as FHIRPath knows it: `Patient`, `BundleEntry`. */
  name: string;
  isResource: boolean;
  /** By JSON property: `valueString`, not `value[x]`. */
  elements: Map<string, ElementRule>;
  /** Elements with a minimum of one: each name with the JSON properties that satisfy it. */
  required: { name: string; keys: string[] }[];
  /** Invariants of the type itself, for example per-1 of Period. */
  invariants: Invariant[];
}

export interface ElementRule {
  /** Element name in a FHIRPath expression: `value` for `valueString`. */
  name: string;
  /** True when other properties (of another type) may stand for the same element. */
  choice: boolean;
  array: boolean;
  min: number;
  /** Part of a summary. */
  summary: boolean;
  max: number;
  typeCode: string;
  /** Set for primitive types. */
  primitive?: Primitive;
  /** Set for complex types; absent for primitives and for `Resource`. */
  type?: TypeRule;
  /** Codes of a required binding. */
  codes?: Set<string>;
  /** Name of the value set, for messages. */
  binding?: string;
  /** Resource types that a Reference may name. */
  targets?: Set<string>;
  /** Invariants of the element that its type does not have already. */
  invariants: Invariant[];
}

let compiled: Map<string, TypeRule> | undefined;

/** The rule of a resource type or data type by its FHIR name; undefined for what the hub does not know. */
export function typeRule(name: string): TypeRule | undefined {
  compiled ??= compileTypes(definitions().types);
  return compiled.get(name);
}

function compileTypes(types: PrunedType[]): Map<string, TypeRule> {
  const rules = new Map<string, TypeRule>();
  const byPath = new Map<string, TypeRule>();
  const complex = types.filter((type) => type.kind !== 'primitive-type');
  for (const type of complex) {
    for (const element of type.elements)
      if (isObjectPath(type, element)) byPath.set(keyOf(type, element.path), emptyRule(type, element));
    rules.set(type.name, byPath.get(keyOf(type, type.elements[0]?.path as string)) as TypeRule);
  }
  for (const type of complex) {
    for (const element of type.elements.slice(1)) addElement(type, element, rules, byPath);
  }
  return rules;
}

/** SimpleQuantity's paths begin with `Quantity`: paths are kept apart by the definition that they stand in. */
function keyOf(type: PrunedType, path: string): string {
  return `${type.name} ${path}`;
}

/** The root, and each backbone element: those whose children are listed beneath it. */
function isObjectPath(type: PrunedType, element: PrunedElement): boolean {
  return element === type.elements[0] || type.elements.some((other) => other.path.startsWith(`${element.path}.`));
}

function emptyRule(type: PrunedType, element: PrunedElement): TypeRule {
  const isRoot = element === type.elements[0];
  return {
    name: isRoot ? type.name : buildTypeName(element.path.split('.')),
    isResource: isRoot && type.kind === 'resource',
    elements: new Map(),
    required: [],
    invariants: (element.constraints ?? []).map(compileInvariant),
  };
}

function addElement(type: PrunedType, element: PrunedElement, rules: Map<string, TypeRule>, byPath: Map<string, TypeRule>): void {
  const dot = element.path.lastIndexOf('.');
  const parent = byPath.get(keyOf(type, element.path.slice(0, dot))) as TypeRule;
  const name = element.path.slice(dot + 1).replace('[x]', '');
  const choice = element.path.endsWith('[x]');
  const own = byPath.get(keyOf(type, element.contentReference ?? element.path));
  const keys: string[] = [];
  for (const { code, targets } of own ? [{ code: own.name, targets: undefined }] : (element.types ?? [])) {
    const key = choice ? name + code.charAt(0).toUpperCase() + code.slice(1) : name;
    const typeCode = parent.isResource && name === 'id' ? 'id' : code;
    const reference =
      code === 'Reference' && targets ? new Set([...(parent.elements.get(key)?.targets ?? []), ...targets]) : undefined;
    keys.push(key);
    parent.elements.set(key, {
      name,
      choice,
      array: element.array ?? false,
      min: element.min,
      summary: element.summary ?? false,
      max: element.max === '*' ? Number.POSITIVE_INFINITY : Number(element.max),
      typeCode,
      primitive: isPrimitive(typeCode) ? primitives[typeCode] : undefined,
      type: own ?? rules.get(code),
      ...binding(element),
      targets: reference,
      invariants: own ? [] : elementInvariants(element, rules.get(code)),
    });
  }
  if (element.min > 0) parent.required.push({ name, keys });
}

function binding(element: PrunedElement): { codes?: Set<string>; binding?: string } {
  const codes = element.binding ? definitions().valueSets[element.binding] : undefined;
  return codes ? { codes: new Set(codes), binding: element.binding } : {};
}

function elementInvariants(element: PrunedElement, type: TypeRule | undefined): Invariant[] {
  const inherited = new Set(type?.invariants.map((invariant) => invariant.key));
  return (element.constraints ?? []).filter((constraint) => !inherited.has(constraint.key)).map(compileInvariant);
}
