/**
 * Validates FHIR R4 resources in their JSON form (https://hl7.org/fhir/R4/json.html, validation.html): structure, cardinality,
 * types, formats, required bindings, invariants, and the hub's own profiles. What it returns is for the client: it names
 * elements, never their content.
 */
import type { OperationOutcomeIssue } from '@medplum/fhirtypes';
import { type ElementRule, type TypeRule, typeRule } from './compile.js';
import type { Invariant } from './invariants.js';
import { maxStringLength, type Primitive } from './primitives.js';

export interface Issue {
  /** Every issue refuses the resource; `fatal` ones ended the validation early. */
  severity: 'fatal' | 'error';
  /** FHIR issue-type: `structure`, `required`, `value`, `code-invalid`, `invariant`, `extension`, `too-long`, `too-costly`, `not-supported`. */
  code: OperationOutcomeIssue['code'];
  /** FHIRPath of the element, with indexes: `ImagingStudy.series[0].uid`. */
  expression: string;
  /** One sentence for a person; never the content of the element. */
  diagnostics: string;
}

export interface ValidationOptions {
  /** Leaves the resources in a Bundle's entries to their own validation, as a batch needs. */
  skipEntries?: boolean;
}

/** Issues reported at most; validation ends when they are found. */
export const maxIssues = 50;
/** Objects within objects, the resource counted as one. */
export const maxDepth = 40;
/** JSON values (objects and primitives) in one resource. */
export const maxValues = 500_000;

type Json = Record<string, unknown>;

interface Run {
  issues: Issue[];
  values: number;
  options: ValidationOptions;
  resource: Json;
  rootResource: Json;
}

class Stopped extends Error {}

/**
 * Validates one resource against FHIR R4 and the hub's profiles.
 * @param resource any JSON value; properties that are undefined count as absent.
 * @returns what is wrong, at most `maxIssues`; empty when valid. Never throws.
 */
export function validateResource(resource: unknown, options: ValidationOptions = {}): Issue[] {
  const run: Run = { issues: [], values: 0, options, resource: {}, rootResource: {} };
  try {
    checkResource(resource, '', run, 1, false);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  return run.issues;
}

function checkResource(value: unknown, path: string, run: Run, depth: number, contained: boolean): void {
  if (!isObject(value)) return report(run, 'structure', path || 'Resource', 'A resource is a JSON object');
  const name = value['resourceType'];
  const rule = typeof name === 'string' ? typeRule(name) : undefined;
  if (name === undefined)
    return report(run, 'required', `${path || 'Resource'}.resourceType`, 'A resource names its resourceType');
  if (!rule?.isResource) return report(run, 'not-supported', path || 'Resource', 'Not a resource type of this server');
  const outer = { resource: run.resource, rootResource: run.rootResource };
  run.resource = value;
  if (!contained) run.rootResource = value;
  checkObject(value, rule, path || rule.name, run, depth);
  Object.assign(run, outer);
}

function checkObject(value: unknown, rule: TypeRule, path: string, run: Run, depth: number): void {
  if (!isObject(value)) return report(run, 'structure', path, 'Expected a JSON object');
  if (depth > maxDepth) return stop(run, 'too-costly', path, `Nested deeper than ${maxDepth} levels`);
  count(run, path);
  let children = 0;
  let choices: Map<string, string> | undefined;
  for (const key of Object.keys(value)) {
    const child = value[key];
    if (child === undefined || (key === 'resourceType' && rule.isResource)) continue;
    if (key !== 'id' || rule.isResource) children++;
    const isSibling = key.charCodeAt(0) === 95;
    const element = rule.elements.get(isSibling ? key.slice(1) : key);
    if (!element || (isSibling && !element.primitive)) {
      reportUnknown(run, path, key);
      continue;
    }
    if (element.choice) {
      choices ??= new Map();
      if ((choices.get(element.name) ?? element.typeCode) !== element.typeCode) {
        report(run, 'structure', `${path}.${element.name}`, 'Only one type of value is allowed');
      }
      choices.set(element.name, element.typeCode);
    }
    if (isSibling) checkSibling(child, value[key.slice(1)], element, `${path}.${element.name}`, run, depth);
    else checkElement(child, value[`_${key}`], element, `${path}.${element.name}`, run, depth);
  }
  if (children === 0) report(run, 'structure', path, 'An element has a value or children');
  checkRequired(value, rule, path, run);
  checkInvariants(value, rule.name, rule.invariants, path, run);
  checkByType(value, rule.name, path, run);
}

function checkRequired(value: Json, rule: TypeRule, path: string, run: Run): void {
  for (const { name, keys } of rule.required) {
    if (!keys.some((key) => value[key] !== undefined)) report(run, 'required', `${path}.${name}`, 'Required element is missing');
  }
}

function checkElement(value: unknown, sibling: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  if (!element.array) {
    if (Array.isArray(value)) return report(run, 'structure', path, 'Expected one value, not an array');
    if (element.max < 1) return report(run, 'structure', path, 'Element is not allowed here');
    return checkValue(value, element, path, run, depth);
  }
  if (!Array.isArray(value)) return report(run, 'structure', path, 'Expected an array');
  if (value.length === 0) return report(run, 'structure', path, 'An array is not empty');
  if (value.length < element.min || value.length > element.max) {
    report(run, 'structure', path, `Expected ${element.min} to ${element.max} values`);
  }
  for (let index = 0; index < value.length; index++) {
    // A null holds the place of a primitive that has only extensions.
    if (value[index] === null && element.primitive && Array.isArray(sibling) && isObject(sibling[index])) continue;
    checkValue(value[index], element, `${path}[${index}]`, run, depth);
  }
}

function checkValue(value: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  if (value === null || value === undefined) return report(run, 'structure', path, 'null is not a value');
  if (element.primitive) return checkPrimitive(value, element.primitive as Primitive, element, path, run);
  if (element.typeCode === 'Resource') {
    if (run.options.skipEntries && depth === 2 && run.rootResource['resourceType'] === 'Bundle') return undefined;
    return checkResource(value, path, run, depth + 1, element.name === 'contained');
  }
  checkObject(value, element.type as TypeRule, path, run, depth + 1);
  if (element.targets) checkTarget(value as Json, element.targets, path, run);
  if (element.invariants.length > 0) checkInvariants(value as Json, element.type?.name as string, element.invariants, path, run);
}

function checkPrimitive(value: unknown, primitive: Primitive, element: ElementRule, path: string, run: Run): void {
  count(run, path);
  // biome-ignore lint/suspicious/useValidTypeof: json holds 'string', 'boolean' or 'number'
  if (typeof value !== primitive.json) return report(run, 'structure', path, `Expected a JSON ${primitive.json}`);
  if (value === '') return report(run, 'structure', path, 'A string is not empty');
  if (typeof value === 'string' && value.length > maxStringLength && element.typeCode !== 'base64Binary') {
    return report(run, 'too-long', path, `Longer than ${maxStringLength} characters`);
  }
  const problem = primitive.problem(value as never);
  if (problem) return report(run, 'value', path, `Invalid ${element.typeCode}: ${problem}`);
  if (element.codes && !element.codes.has(value as string)) {
    report(run, 'code-invalid', path, `Code is not in the required value set ${element.binding}`);
  }
}

/** The `_name` property of a primitive: its id and extensions, one for each value where it repeats. */
function checkSibling(value: unknown, partner: unknown, element: ElementRule, path: string, run: Run, depth: number): void {
  const rule = typeRule('Element') as TypeRule;
  if (!element.array) return checkObject(value, rule, path, run, depth + 1);
  if (!Array.isArray(value) || value.length === 0) return report(run, 'structure', path, 'Expected an array that is not empty');
  if (value.length > element.max) report(run, 'structure', path, `Expected ${element.min} to ${element.max} values`);
  value.forEach((item, index) => {
    if (item !== null) return checkObject(item, rule, `${path}[${index}]`, run, depth + 1);
    const hasPartner = Array.isArray(partner) && partner[index] !== null && partner[index] !== undefined;
    return hasPartner ? undefined : report(run, 'structure', `${path}[${index}]`, 'null is not a value');
  });
}

function checkInvariants(value: Json, type: string, invariants: Invariant[], path: string, run: Run): void {
  for (const invariant of invariants) {
    if (!invariant.holds(value, type, run)) report(run, 'invariant', path, `${invariant.key}: ${invariant.human}`);
  }
}

/** A literal reference names a resource type that the element allows; a conditional one (`Patient?...`) too. */
function checkTarget(reference: Json, targets: Set<string>, path: string, run: Run): void {
  const literal = reference['reference'];
  const type = typeof literal === 'string' ? /^([A-Z][A-Za-z]+)[/?]/.exec(literal)?.[1] : undefined;
  if (type && !targets.has(type))
    report(run, 'value', path, `Reference to a resource type that is not among ${[...targets].join(', ')}`);
}

function checkByType(_value: Json, _type: string, _path: string, _run: Run): void {}

/** Names the unknown property only where it looks like an element: a name may be anything, also megabytes. */
function reportUnknown(run: Run, path: string, key: string): void {
  const known = /^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(key);
  report(run, 'structure', known ? `${path}.${key}` : path, 'Unknown element');
}

function report(run: Run, code: Issue['code'], expression: string, diagnostics: string): void {
  run.issues.push({ severity: 'error', code, expression, diagnostics });
  if (run.issues.length >= maxIssues) throw new Stopped();
}

function stop(run: Run, code: Issue['code'], expression: string, diagnostics: string): never {
  run.issues.push({ severity: 'fatal', code, expression, diagnostics });
  throw new Stopped();
}

function count(run: Run, path: string): void {
  if (++run.values > maxValues) stop(run, 'too-costly', path, `More than ${maxValues} values`);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
