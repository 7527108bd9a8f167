/**
 * Turns the differential of one of our StructureDefinitions into rules. What would not be enforced is refused, so that no
 * profile states more than is checked.
 */
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import { type ElementRule, type TypeRule, typeRule } from './compile.js';
import { compileInvariant, type Invariant } from './invariants.js';
import { valueSet } from './terminology.js';

export interface ProfileNode {
  /** Element name in FHIRPath: `value` for `value[x]`. */
  name: string;
  /** JSON properties of the element, and those of a choice that the profile excludes. */
  keys: string[];
  excludedKeys: string[];
  min: number;
  max: number;
  /** FHIR type of the values, for invariants. */
  type: string;
  fixed?: string;
  pattern?: object;
  /** Codes of a required binding, by system. */
  codes?: Map<string, Set<string>>;
  binding?: string;
  regex?: RegExp;
  /** Resource types that a Reference may name. */
  targets?: Set<string>;
  invariants: Invariant[];
  children: ProfileNode[];
  slices: ProfileSlice[];
  /** True when every value must be in a slice. */
  closed: boolean;
}

export interface ProfileSlice extends ProfileNode {
  sliceName: string;
  matches: (value: unknown) => boolean;
}

interface Branch {
  element: ElementDefinition;
  children: Map<string, Branch>;
  slices: Map<string, Branch>;
}

const regexExtension = 'http://hl7.org/fhir/StructureDefinition/regex';
const understood = new Set(
  (
    'id path sliceName short definition comment mustSupport ' +
    'extension slicing min max type fixedUri fixedCode patternCoding patternCodeableConcept constraint binding'
  ).split(' '),
);

/**
 * Compiles a profile or extension.
 * @throws when it names an element that its base lacks, or a rule that isn't enforced.
 */
export function compileProfile(definition: StructureDefinition): ProfileNode {
  const type = typeRule(definition.type);
  if (!type) throw new Error(`${definition.id}: unknown type ${definition.type}`);
  const root = branch(definition.type);
  for (const element of definition.differential?.element ?? []) locate(root, element.id as string).element = element;
  return compileBranch(root, type.name, [], type);
}

function branch(id: string): Branch {
  return { element: { id, path: id }, children: new Map(), slices: new Map() };
}

/** The branch of an element id such as `Extension.extension:purpose.url`; those on the way to it are made where they lack. */
function locate(root: Branch, id: string): Branch {
  let at = root;
  let path = root.element.id as string;
  for (const segment of id.split('.').slice(1)) {
    const [name, sliceName] = segment.split(':') as [string, string | undefined];
    path += `.${name}`;
    at = child(at.children, name, path);
    if (sliceName) {
      path += `:${sliceName}`;
      at = child(at.slices, sliceName, path);
    }
  }
  return at;
}

function child(children: Map<string, Branch>, name: string, id: string): Branch {
  const found = children.get(name) ?? branch(id);
  children.set(name, found);
  return found;
}

type KeyedRule = [key: string, rule: ElementRule];

function compileBranch(from: Branch, name: string, rules: KeyedRule[], type: TypeRule | undefined): ProfileNode {
  const { element } = from;
  const node = compileElement(element, name, rules, type);
  node.children = [...from.children].map(([segment, next]) => compileChild(next, segment.replace('[x]', ''), type));
  node.slices = [...from.slices].map(([sliceName, next]) => {
    const slice = compileBranch(next, name, rules, type);
    return { ...slice, sliceName, matches: discriminator(element, next.element, slice) };
  });
  return node;
}

function compileChild(from: Branch, name: string, parent: TypeRule | undefined): ProfileNode {
  const rules = [...(parent?.elements ?? [])].filter(([, rule]) => rule.name === name);
  if (rules.length === 0) throw new Error(`${from.element.id}: no such element`);
  const code = from.element.type?.[0]?.code;
  return compileBranch(from, name, rules, rules.find(([, rule]) => code === undefined || rule.typeCode === code)?.[1].type);
}

function compileElement(element: ElementDefinition, name: string, rules: KeyedRule[], type: TypeRule | undefined): ProfileNode {
  const strange = Object.keys(element).filter((key) => !understood.has(key));
  if (strange.length > 0) throw new Error(`${element.id}: ${strange.join(', ')} would not be enforced`);
  const allowed = element.type?.map((t) => t.code);
  const isAllowed = ([, rule]: KeyedRule) => !allowed || allowed.includes(rule.typeCode);
  const targets = element.type?.flatMap((t) => t.targetProfile ?? []).map((url) => url.slice(url.lastIndexOf('/') + 1));
  const binding = element.binding?.strength === 'required' ? element.binding.valueSet : undefined;
  const regex = element.extension?.find((extension) => extension.url === regexExtension)?.valueString;
  return {
    name,
    keys: rules.filter(isAllowed).map(([key]) => key),
    excludedKeys: rules.filter((rule) => !isAllowed(rule)).map(([key]) => key),
    min: element.min ?? 0,
    max: element.max === undefined || element.max === '*' ? Number.POSITIVE_INFINITY : Number(element.max),
    type: type?.name ?? name,
    fixed: element.fixedUri ?? element.fixedCode,
    pattern: element.patternCoding ?? element.patternCodeableConcept,
    codes: binding ? valueSet(binding) : undefined,
    binding,
    regex: regex ? new RegExp(`^(?:${regex})$`) : undefined,
    targets: targets?.length ? new Set(targets) : undefined,
    invariants: (element.constraint ?? []).map(({ key, expression, human }) =>
      compileInvariant({ key: key as string, expression: expression as string, human: human as string }),
    ),
    children: [],
    slices: [],
    closed: element.slicing?.rules === 'closed',
  };
}

/** Slices are told apart by one fixed value: that of a child element, or the URL of the extension profile that they name. */
function discriminator(sliced: ElementDefinition, element: ElementDefinition, slice: ProfileNode): ProfileSlice['matches'] {
  const [rule, ...more] = sliced.slicing?.discriminator ?? [];
  const path = rule?.path as string;
  const fixed = slice.children.find((next) => next.name === path)?.fixed ?? element.type?.[0]?.profile?.[0];
  if (rule?.type !== 'value' || more.length > 0 || fixed === undefined)
    throw new Error(`${element.id}: slice would not be enforced`);
  return (value) => (value as Record<string, unknown> | null)?.[path] === fixed;
}
