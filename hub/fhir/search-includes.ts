import { notSupported } from '../outcomes.js';
import { isReference, type SearchKey, searchKeys } from '../store/search-keys.js';

/** `_include` or `_revinclude` (R4 3.1.1.5.4): `key` is a reference parameter of type `source`. */
export interface Include {
  /** `_revinclude`: what refers to the resources at hand, instead of what they refer to. */
  isReverse: boolean;
  source: string;
  key: SearchKey;
  /** Types of what is referred to. */
  targets: readonly string[];
  /** `:iterate`: of what was included, too. */
  iterates: boolean;
}

/** @throws Refusal 400 for what can't be included in a search of this type. */
export function includeOf(type: string, name: string, value: string): Include {
  const [source = '', parameter, target] = value.split(':');
  const keys = Object.hasOwn(searchKeys, source) ? (searchKeys[source] ?? []) : [];
  const key = keys.find((k) => k.name === parameter && isReference(k));
  const targets = (key?.targets ?? []).filter((t) => target === undefined || t === target);
  const iterates = name.endsWith(':iterate');
  const isReverse = name.startsWith('_revinclude');
  const concerns = iterates || (isReverse ? targets.includes(type) : source === type);
  if (!key || targets.length === 0 || !concerns) throw notSupported(`'${value.slice(0, 100)}' can't be included.`, name);
  return { isReverse, source, key, targets, iterates };
}
