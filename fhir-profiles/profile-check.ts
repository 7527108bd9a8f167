/** Applies the project's own profiles, extensions and code systems to resources that are walked. */
import { deepIncludes } from '@medplum/core';
import { canonicalResources } from './canonical-resources.js';
import { checkInvariants } from './invariants.js';
import { compileProfile, type ProfileNode } from './profile-compile.js';
import { isObject, type Json, type Run, report } from './run.js';
import { codesOfSystem, isOwnUrl } from './terminology.js';

interface Profile {
  url: string;
  type: string;
  node: ProfileNode;
  /** Types that an extension may stand on. */
  contexts: (string | undefined)[];
  /** Pattern of `code`: a profile that has one is applied to the resources that carry it, one without to all of its type. */
  code?: object;
}

interface Located {
  value: unknown;
  path: string;
}

let compiled: Map<string, Profile> | undefined;
let byType: Map<string, Profile[]> | undefined;

/** Our profiles and extensions by URL, compiled once. @throws when a definition states what isn't enforced. */
export function ownProfiles(): Map<string, Profile> {
  compiled ??= new Map(
    canonicalResources('StructureDefinition').map((definition) => {
      const node = compileProfile(definition);
      const code = node.children.find((child) => child.name === 'code')?.pattern;
      const contexts = definition.context?.map((context) => context.expression) ?? [];
      return [definition.url, { url: definition.url, type: definition.type, node, contexts, code }];
    }),
  );
  return compiled;
}

/** Checks a resource against the profiles that apply to it: by its type, by its code, and those of ours that it claims. */
export function checkProfiles(resource: Json, type: string, path: string, run: Run): void {
  const claims = claimedProfiles(resource);
  for (const profile of profilesOf(type)) {
    if (claims.includes(profile.url) || hasCode(resource, profile.code))
      checkContent({ value: resource, path }, profile.node, run);
  }
  claims.forEach((claim, index) => {
    const isWrong = isOwnUrl(claim) && ownProfiles().get(claim)?.type !== type;
    if (isWrong) report(run, 'value', `${path}.meta.profile[${index}]`, 'No such profile of this resource type');
  });
}

function profilesOf(type: string): Profile[] {
  if (!byType) {
    byType = new Map();
    for (const profile of ownProfiles().values()) byType.set(profile.type, [...(byType.get(profile.type) ?? []), profile]);
  }
  return byType.get(type) ?? [];
}

function claimedProfiles(resource: Json): unknown[] {
  const profile = isObject(resource['meta']) ? resource['meta']['profile'] : undefined;
  return Array.isArray(profile) ? profile : [];
}

function hasCode(resource: Json, code: object | undefined): boolean {
  return !code || [resource['code']].flat().some((value) => includes(value, code));
}

/** Checks an extension of ours: it exists, stands where it may, and has the content that it should. Others are left alone. */
export function checkExtension(extension: Json, parentType: string, path: string, run: Run): void {
  if (!isOwnUrl(extension['url'])) return;
  const profile = ownProfiles().get(extension['url']);
  if (profile?.type !== 'Extension') report(run, 'extension', path, 'No such extension');
  else if (!profile.contexts.includes(parentType)) report(run, 'extension', path, 'The extension has no meaning on this element');
  else checkContent({ value: extension, path }, profile.node, run);
}

/** A coding in a code system of ours has one of its codes. */
export function checkCoding({ system, code }: Json, path: string, run: Run): void {
  if (isOwnUrl(system) && !codesOfSystem(system)?.has(code as string)) {
    report(run, 'code-invalid', `${path}.code`, 'No such code in this code system');
  }
}

function checkContent(located: Located, node: ProfileNode, run: Run): void {
  checkOwnRules(located, node, run);
  if (!isObject(located.value)) return;
  checkInvariants(located.value, node.type, node.invariants, located.path, run);
  for (const child of node.children) checkChild(located.value, located.path, child, run);
}

function checkChild(parent: Json, parentPath: string, node: ProfileNode, run: Run): void {
  const path = `${parentPath}.${node.name}`;
  if (node.excludedKeys.some((key) => parent[key] !== undefined)) {
    report(run, 'structure', path, 'Not a type that the profile allows');
    return;
  }
  const values = node.keys.flatMap((key) => locate(parent[key], path));
  if (!isCount(values.length, node, path, run)) return;
  for (const value of values) checkContent(value, node, run);
  for (const slice of node.slices) checkSlice(values, slice, path, run);
  for (const { path: at } of node.closed
    ? values.filter(({ value }) => !node.slices.some((slice) => slice.matches(value)))
    : []) {
    report(run, 'structure', at, 'Not one of the values that the profile knows');
  }
}

function checkSlice(values: Located[], slice: ProfileNode['slices'][number], path: string, run: Run): void {
  const matching = values.filter(({ value }) => slice.matches(value));
  if (!isCount(matching.length, slice, path, run, ` of ${slice.sliceName}`)) return;
  for (const value of matching) checkContent(value, slice, run);
}

function locate(value: unknown, path: string): Located[] {
  if (Array.isArray(value)) return value.map((item, index) => ({ value: item, path: `${path}[${index}]` }));
  return value === undefined ? [] : [{ value, path }];
}

function isCount(count: number, { min, max }: ProfileNode, path: string, run: Run, what = ''): boolean {
  if (count === 0 && min > 0) report(run, 'required', path, `The profile requires a value${what}`);
  else if (count < min || count > max) report(run, 'structure', path, `The profile allows ${min} to ${max} values${what}`);
  return count >= min && count <= max;
}

function checkOwnRules({ value, path }: Located, node: ProfileNode, run: Run): void {
  if (node.fixed !== undefined && value !== node.fixed) report(run, 'value', path, `The profile fixes the value ${node.fixed}`);
  if (node.pattern && !includes(value, node.pattern))
    report(run, 'value', path, `Expected ${JSON.stringify(node.pattern)} by the profile`);
  if (node.regex && !(typeof value === 'string' && node.regex.test(value)))
    report(run, 'value', path, `Expected the form ${node.regex.source} by the profile`);
  if (node.codes && !isBound(value, node.codes))
    report(run, 'code-invalid', path, `Code is not in the value set ${node.binding}`);
  if (node.targets && !isTarget(value, node.targets)) {
    report(run, 'value', path, `The profile allows references to ${[...node.targets].join(', ')}`);
  }
}

function includes(value: unknown, pattern: object): boolean {
  return isObject(value) && deepIncludes(value, pattern) === true;
}

/** A code, a Coding, or a CodeableConcept with at least one coding of the value set. */
function isBound(value: unknown, codes: Map<string, Set<string>>): boolean {
  if (typeof value === 'string') return [...codes.values()].some((set) => set.has(value));
  if (!isObject(value)) return false;
  if (Array.isArray(value['coding'])) return value['coding'].some((coding) => isBound(coding, codes));
  return codes.get(value['system'] as string)?.has(value['code'] as string) ?? false;
}

function isTarget(value: unknown, targets: Set<string>): boolean {
  const literal = isObject(value) ? value['reference'] : undefined;
  const type = typeof literal === 'string' ? /^([A-Z][A-Za-z]+)[/?]/.exec(literal)?.[1] : undefined;
  return type === undefined || targets.has(type);
}
