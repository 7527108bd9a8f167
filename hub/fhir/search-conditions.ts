import { invalid, notSupported } from '../outcomes.js';
import { type DateRange, dateRange } from '../store/fhir-date.js';
import { isReference, type SearchKey, searchKeys } from '../store/search-keys.js';

/** One condition; the values of a comma list are alternatives, repeated parameters are separate conditions. */
export type Condition =
  | { kind: 'id'; ids: string[] }
  | { kind: 'token'; keys: string[] }
  | { kind: 'patient'; ids: string[] }
  | { kind: 'patient-identifier'; identifiers: { system: string | undefined; value: string }[] }
  | { kind: 'name'; prefixes: string[] }
  | { kind: 'date'; column: 'date' | 'last_updated'; alternatives: DateTest[] }
  | { kind: 'not'; of: Condition }
  | { kind: 'any'; of: Condition[] }
  | { kind: 'missing'; elements: readonly string[]; isMissing: boolean }
  /** The record refers, by `key`, to one of type `target` that meets the condition. */
  | { kind: 'chain'; key: SearchKey; target: string; condition: Condition }
  /** A record of type `source` that meets the condition refers to this one by `key`. */
  | { kind: 'has'; source: string; key: SearchKey; condition: Condition };

export interface DateTest {
  prefix: 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';
  range: DateRange;
}

/** A parameter as asked: its name with modifier, chain or `_has`, and its value. */
interface Asked {
  name: string;
  value: string;
  utcOffset: string;
  /** Links of chains and `_has` passed on the way here. */
  links: number;
}

/** References that one parameter may follow, by chains and `_has` together. */
const MAX_LINKS = 3;
const MAX_ALTERNATIVES = 100;

/**
 * Reads a parameter that selects rows (R4 3.1.1.4): with a modifier, chained, or of what refers to the record (`_has`).
 * @returns undefined when the type has no such parameter, or not with this modifier.
 * @throws Refusal 400 for a value that can't be understood, and for too many links.
 */
export function conditionOf(type: string, asked: Asked): Condition | undefined {
  const { name } = asked;
  if (name.startsWith('_has:')) return hasOf(type, asked);
  const [, link = '', target, rest] = /^([\w-]+)(?::([A-Za-z]+))?\.(.+)$/.exec(name) ?? [];
  if (rest) return chainOf(type, asked, link, target, rest);
  const [, stem = '', modifier] = /^([\w-]+)(?::([\w-]+))?$/.exec(name) ?? [];
  const { elements, plain } = parameterOf(type, stem, modifier) ?? {};
  if (elements && modifier === 'missing') return missing(elements, asked);
  return plain?.(splitValues(asked.value, name), asked);
}

/** The types that a condition reads on its way: a token's scope has to cover them all. */
export function typesOn(condition: Condition): string[] {
  switch (condition.kind) {
    case 'chain':
      return [condition.target, ...typesOn(condition.condition)];
    case 'has':
      return [condition.source, ...typesOn(condition.condition)];
    case 'any':
      return condition.of.flatMap(typesOn);
    case 'patient-identifier':
      return ['Patient'];
    default:
      return [];
  }
}

/** `_has:Observation:derived-from:status=final` (R4 3.1.1.4.15). */
function hasOf(type: string, asked: Asked): Condition | undefined {
  const [, source = '', name, rest] = /^_has:([A-Za-z]+):([\w-]+):(.+)$/.exec(asked.name) ?? [];
  const key = keysOf(source).find((k) => k.name === name && k.targets?.includes(type));
  const condition = key && rest ? conditionOf(source, linked(asked, rest)) : undefined;
  return key && condition && { kind: 'has', source, key, condition };
}

/** `patient.name=`, `subject:Patient.name=` (R4 3.1.1.4.14); a reference to several types is followed to each that has the parameter. */
function chainOf(type: string, asked: Asked, link: string, target: string | undefined, rest: string): Condition | undefined {
  const key = keysOf(type).find((k) => k.name === link && isReference(k));
  const targets = (key?.targets ?? []).filter((t) => target === undefined || t === target);
  if (!key || targets.length === 0) return undefined;
  const next = linked(asked, rest);
  if (key.kind === 'patient' && rest === 'identifier') {
    return { kind: 'patient-identifier', identifiers: splitValues(asked.value, asked.name).map(identifierOf) };
  }
  const chains = targets.flatMap((t): Condition[] => {
    const condition = conditionOf(t, next);
    return condition ? [{ kind: 'chain', key, target: t, condition }] : [];
  });
  return chains.length > 1 ? { kind: 'any', of: chains } : chains[0];
}

function linked(asked: Asked, name: string): Asked {
  if (asked.links === MAX_LINKS) throw notSupported(`At most ${MAX_LINKS} references are followed.`, asked.name.slice(0, 100));
  return { ...asked, name, links: asked.links + 1 };
}

type Plain = (values: string[], asked: Asked) => Condition;

/** A parameter of the type: how its values are read with this modifier, and the elements whose absence `:missing` asks for. */
function parameterOf(
  type: string,
  name: string,
  modifier: string | undefined,
): { elements?: readonly string[]; plain?: Plain } | undefined {
  const ofCode = (plain: Plain): Plain | undefined =>
    modifier === 'not' ? (values, asked) => ({ kind: 'not', of: plain(values, asked) }) : unmodified(plain);
  const unmodified = (plain: Plain): Plain | undefined => (modifier === undefined ? plain : undefined);
  if (name === '_id') return { plain: ofCode((ids) => ({ kind: 'id', ids })) };
  if (name === '_security') return { elements: ['meta.security'], plain: ofCode(tokensNamed(name)) };
  if (name === '_lastUpdated') return { plain: unmodified(dates('last_updated')) };
  const key = keysOf(type).find((k) => k.name === name);
  if (!key) return undefined;
  const { elements } = key;
  switch (key.kind) {
    case 'token':
      return { elements, plain: ofCode(tokensNamed(name)) };
    case 'name':
      return {
        elements,
        plain: unmodified((values) => ({ kind: 'name', prefixes: values.map((v) => v.normalize('NFKC').toLowerCase()) })),
      };
    case 'date':
      return { elements, plain: unmodified(dates('date')) };
    default:
      return { elements, plain: references(key, modifier) };
  }
}

const tokensNamed =
  (name: string): Plain =>
  (values) => ({ kind: 'token', keys: values.map((v) => `${name}=${v}`) });

const dates =
  (column: 'date' | 'last_updated'): Plain =>
  (values, { name, utcOffset }) => ({ kind: 'date', column, alternatives: values.map((v) => dateTest(v, name, utcOffset)) });

/** `basedon=`, `basedon:ServiceRequest=`: the modifier of a reference is the type that it refers to. */
function references(key: SearchKey, modifier: string | undefined): Plain | undefined {
  const targets = (key.targets ?? []).filter((t) => modifier === undefined || t === modifier);
  if (targets.length === 0) return undefined;
  if (key.kind === 'patient') return (values, { name }) => ({ kind: 'patient', ids: values.map((v) => patientId(v, name)) });
  return (values) => ({
    kind: 'token',
    keys: values.flatMap((v) => (/[/:]/.test(v) ? [`${key.name}=${v}`] : targets.map((t) => `${key.name}=${t}/${v}`))),
  });
}

function missing(elements: readonly string[], { name, value }: Asked): Condition {
  if (value !== 'true' && value !== 'false') throw invalid(':missing takes true or false.', name);
  return { kind: 'missing', elements, isMissing: value === 'true' };
}

/** Own names only: `constructor` is no type. */
const keysOf = (type: string): readonly SearchKey[] => (Object.hasOwn(searchKeys, type) ? (searchKeys[type] ?? []) : []);

function patientId(value: string, name: string): string {
  const id = value.startsWith('Patient/') ? value.slice('Patient/'.length) : value;
  if (!/^[A-Za-z0-9\-.]{1,64}$/.test(id)) throw invalid('The value is not a reference to a Patient.', name);
  return id;
}

function identifierOf(value: string): { system: string | undefined; value: string } {
  const bar = value.indexOf('|');
  return bar < 0 ? { system: undefined, value } : { system: value.slice(0, bar), value: value.slice(bar + 1) };
}

/** Values separated by commas; `\,` `\|` `\$` `\\` are literal (R4 3.1.1.4.0.1). */
function splitValues(value: string, name: string): string[] {
  const parts = (value.match(/(?:\\.|[^,\\])+/g) ?? []).map((p) => p.replace(/\\([,|$\\])/g, '$1'));
  if (parts.length === 0) throw invalid('The value is empty.', name);
  if (parts.length > MAX_ALTERNATIVES) throw invalid(`At most ${MAX_ALTERNATIVES} alternatives are taken.`, name);
  return parts;
}

const PREFIX = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)$/;

function dateTest(value: string, name: string, utcOffset: string): DateTest {
  const [, prefix, text] = PREFIX.exec(value) ?? [];
  // a '+' of an offset arrives as a space when the client did not escape it
  const range = dateRange((text ?? '').replace(' ', '+'), utcOffset);
  if (!range) throw invalid(`'${value.slice(0, 40)}' is not a date.`, name);
  return { prefix: (prefix ?? 'eq') as DateTest['prefix'], range };
}
