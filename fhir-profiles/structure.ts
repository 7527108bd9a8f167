/**
 * Walks a resource along the compiled definitions: known elements, cardinality, types, formats, required bindings, reference
 * targets and invariants.
 */
import { type ElementRule, type TypeRule, typeRule } from './compile.js';
import { checkInvariants } from './invariants.js';
import { maxStringLength, type Primitive } from './primitives.js';
import { checkCoding, checkExtension, checkProfiles } from './profile-check.js';
import { countValue, isObject, type Json, maxDepth, type Run, report, stop } from './run.js';

/** Checks a resource; `path` is empty for the outermost one, `depth` counts objects from one. */
export function checkResource(value: unknown, path: string, run: Run, depth: number, contained: boolean): void {
  const rule = resourceRule(value, path, run);
  if (!rule) return;
  const { resource, rootResource, containedIds } = run;
  run.resource = value as Json;
  if (!contained) Object.assign(run, { rootResource: value, containedIds: undefined });
  checkObject(value, rule, path || rule.name, run, depth);
  checkProfiles(value as Json, rule.name, path || rule.name, run);
  Object.assign(run, { resource, rootResource, containedIds });
}

function resourceRule(value: unknown, path: string, run: Run): TypeRule | undefined {
  const name = isObject(value) ? value['resourceType'] : undefined;
  const rule = typeof name === 'string' ? typeRule(name) : undefined;
  if (rule?.isResource) return rule;
  if (!isObject(value)) report(run, 'structure', path || 'Resource', 'A resource is a JSON object');
  else if (name === undefined) report(run, 'required', `${path || 'Resource'}.resourceType`, 'A resource names its resourceType');
  else report(run, 'not-supported', path || 'Resource', 'Not a resource type of this server');
  return undefined;
}

function checkObject(value: unknown, rule: TypeRule, path: string, run: Run, depth: number): void {
  if (depth > maxDepth) stop(run, 'too-costly', path, `Nested deeper than ${maxDepth} levels`);
  countValue(run, path);
  if (!isObject(value)) {
    report(run, 'structure', path, 'Expected a JSON object');
    return;
  }
  const issuesBefore = run.issues.length;
  let isEmpty = !rule.isResource;
  let choices: Map<string, string> | undefined;
  for (const key of Object.keys(value)) {
    if (value[key] === undefined || (key === 'resourceType' && rule.isResource)) continue;
    // ele-1: an id alone makes no element.
    if (key !== 'id') isEmpty = false;
    const element = checkProperty(value, key, rule, path, run, depth);
    if (element?.choice) choices = checkChoice(element, choices ?? new Map(), path, run);
  }
  if (isEmpty) report(run, 'structure', path, 'An element has a value or children');
  checkRequired(value, rule, path, run);
  // On an element that is wrong already an invariant would only repeat it.
  if (run.issues.length === issuesBefore) checkInvariants(value, rule.name, rule.invariants, path, run);
  if (rule.name === 'Coding') checkCoding(value, path, run);
}

function checkProperty(
  parent: Json,
  key: string,
  rule: TypeRule,
  path: string,
  run: Run,
  depth: number,
): ElementRule | undefined {
  const isSibling = key.startsWith('_');
  const element = rule.elements.get(isSibling ? key.slice(1) : key);
  if (!element || (isSibling && !element.primitive)) {
    // A property may have any name, also one of megabytes: it is repeated only where it looks like an element.
    const isName = /^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(key);
    report(run, 'structure', isName ? `${path}.${key}` : path, 'Unknown element');
    return undefined;
  }
  const childPath = `${path}.${element.name}`;
  if (isSibling) checkSibling(parent[key], parent[key.slice(1)], element, childPath, run, depth);
  else checkElement(parent[key], parent[`_${key}`], element, childPath, run, depth);
  if (element.typeCode === 'Extension') checkExtensions(parent[key], element, rule.name, childPath, run);
  return element;
}

function checkChoice(element: ElementRule, seen: Map<string, string>, path: string, run: Run): Map<string, string> {
  const other = seen.get(element.name);
  if (other !== undefined && other !== element.typeCode) {
    report(run, 'structure', `${path}.${element.name}`, 'Only one type of value is allowed');
  }
  return seen.set(element.name, element.typeCode);
}

/** A primitive that must be there needs a value: extensions alone (`_status`) leave the hub nothing to decide on. */
function checkRequired(value: Json, rule: TypeRule, path: string, run: Run): void {
  for (const { name, keys } of rule.required) {
    if (!keys.some((key) => value[key] !== undefined)) report(run, 'required', `${path}.${name}`, 'Required element is missing');
  }
}

function checkElement(value: unknown, sibling: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  if (element.array) checkArray(value, sibling, element, path, run, depth);
  else if (Array.isArray(value)) report(run, 'structure', path, 'Expected one value, not an array');
  else if (element.max < 1) report(run, 'structure', path, 'Element is not allowed here');
  else checkValue(value, element, path, run, depth);
}

function checkArray(values: unknown, sibling: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  if (!isFilledArray(values, element, path, run)) return;
  values.forEach((value, index) => {
    // A null holds the place of a primitive that has only extensions.
    const isPlaceholder = value === null && element.primitive && Array.isArray(sibling) && isObject(sibling[index]);
    if (!isPlaceholder) checkValue(value, element, `${path}[${index}]`, run, depth);
  });
}

function isFilledArray(values: unknown, element: ElementRule, path: string, run: Run): values is unknown[] {
  if (!Array.isArray(values)) report(run, 'structure', path, 'Expected an array');
  else if (values.length === 0) report(run, 'structure', path, 'An array is not empty');
  else if (values.length < element.min || values.length > element.max) {
    report(run, 'structure', path, `Expected ${element.min} to ${element.max} values`);
  }
  return Array.isArray(values);
}

function checkValue(value: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  if (value === null || value === undefined) report(run, 'structure', path, 'null is not a value');
  else if (element.primitive) checkPrimitive(value, element.primitive, element, path, run);
  else if (element.typeCode === 'Resource') checkNested(value, element, path, run, depth);
  else checkComplex(value, element, path, run, depth);
}

function checkNested(value: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  const isEntry = run.rootResource['resourceType'] === 'Bundle' && depth === 2;
  if (!(isEntry && run.options.skipEntries)) checkResource(value, path, run, depth + 1, element.name === 'contained');
}

function checkComplex(value: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  const type = element.type as TypeRule;
  const issuesBefore = run.issues.length;
  checkObject(value, type, path, run, depth + 1);
  if (!isObject(value)) return;
  if (element.targets) checkTarget(value, element.targets, path, run);
  if (run.issues.length === issuesBefore) checkInvariants(value, type.name, element.invariants, path, run);
}

function checkPrimitive(value: unknown, primitive: Primitive, element: ElementRule, path: string, run: Run): void {
  countValue(run, path);
  if (typeof value !== primitive.json) report(run, 'structure', path, `Expected a JSON ${primitive.json}`);
  else if (value === '') report(run, 'structure', path, 'A string is not empty');
  else if (isTooLong(value, element)) report(run, 'too-long', path, `Longer than ${maxStringLength} characters`);
  else checkContent(value, primitive, element, path, run);
}

function isTooLong(value: unknown, element: ElementRule): boolean {
  return typeof value === 'string' && value.length > maxStringLength && element.typeCode !== 'base64Binary';
}

function checkContent(value: unknown, primitive: Primitive, element: ElementRule, path: string, run: Run): void {
  const problem = primitive.problem(value as never);
  if (problem) report(run, 'value', path, `Invalid ${element.typeCode}: ${problem}`);
  else if (element.codes && !element.codes.has(value as string)) {
    report(run, 'code-invalid', path, `Code is not in the required value set ${element.binding}`);
  }
}

/** The `_name` property of a primitive: its id and extensions, one for each value where it repeats. */
function checkSibling(value: unknown, partner: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  const rule = typeRule('Element') as TypeRule;
  if (!element.array) checkObject(value, rule, path, run, depth + 1);
  else if (isFilledArray(value, element, path, run)) {
    value.forEach((item, index) => {
      const hasPartner = Array.isArray(partner) && partner[index] !== null && partner[index] !== undefined;
      if (item !== null) checkObject(item, rule, `${path}[${index}]`, run, depth + 1);
      else if (!hasPartner) report(run, 'structure', `${path}[${index}]`, 'null is not a value');
    });
  }
}

/** A literal reference names a resource type that the element allows; a conditional one (`Patient?...`) too. */
function checkTarget(reference: Json, targets: Set<string>, path: string, run: Run): void {
  const literal = reference['reference'];
  const type = typeof literal === 'string' ? /^([A-Z][A-Za-z]+)[/?]/.exec(literal)?.[1] : undefined;
  if (type && !targets.has(type))
    report(run, 'value', path, `Reference to a resource type that is not among ${[...targets].join(', ')}`);
}

/** FHIR R4 extensibility 2.4.0.1: what carries a modifier extension that isn't understood must not be processed. */
function checkExtensions(values: unknown, element: ElementRule, parentType: string, path: string, run: Run): void {
  if (element.name === 'modifierExtension') report(run, 'extension', path, 'Modifier extensions are not understood here');
  else if (Array.isArray(values)) {
    values.forEach((extension, index) => {
      if (isObject(extension)) checkExtension(extension, parentType, `${path}[${index}]`, run);
    });
  }
}
