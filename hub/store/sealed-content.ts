import type { FhirResource } from './search-keys.js';
import { holdsNational, holdsNumber, isProtected, type Protection, SEALED_MARK, type ValueHolder } from './protection.js';

type Node = Record<string, unknown>;

/** Seals or opens one text of a resource. `position` is its path without indices, with the system that stands beside it. */
type Change = (text: string, position: string) => string;

/**
 * The content of a resource as it is stored: the values of protected Identifiers and ContactPoints, narratives, attachments, and texts that hold an
 * identity or mobile number are sealed one by one, each bound to type, id, element and system. Anything else stays as it is.
 * @param text JSON of `content`, written by JSON.stringify.
 */
export function sealContent(
  protection: Protection,
  { type, id }: { type: string; id: string },
  content: Omit<FhirResource, 'resourceType'>,
  text: string,
): string {
  if (!protection.suspicion.test(text)) return text;
  const place = `${type}/${id}`;
  let isChanged = false;
  const sealed = sealIn(protection, content, '', false, (plain, position) => {
    isChanged = true;
    return SEALED_MARK + protection.keys.seal('content', place, position, plain);
  });
  return isChanged ? JSON.stringify(sealed) : text;
}

/** The content as it was given. @throws {IntegrityFailure} when a sealed value does not open in its place. */
export function openContent({ keys }: Protection, { type, id }: { type: string; id: string }, text: string): string {
  if (!text.includes(SEALED_MARK)) return text;
  const place = `${type}/${id}`;
  return JSON.stringify(
    openIn(JSON.parse(text), '', (sealed, position) => keys.open('content', place, position, sealed.slice(SEALED_MARK.length))),
  );
}

/** @param whole every text in here belongs to a protected value, such as a rendered form in an extension of it. */
function sealIn(protection: Protection, node: unknown, path: string, whole: boolean, seal: Change): unknown {
  if (Array.isArray(node)) return node.map((each) => sealIn(protection, each, path, whole, seal));
  if (typeof node !== 'object' || node === null) return node;
  const holder = node as ValueHolder;
  const isValue = isProtected(protection, holder) || path.endsWith('.telecom') || path.endsWith('.valueContactPoint');
  const isIdentifier = typeof holder.value === 'string' && !isValue;
  const system = whole || isHiddenText(holder.system) ? undefined : holder.system;
  return mapTexts(node as Node, path, (child, name, at) => {
    const inValue = whole || (isValue && (name === '_value' || name === 'extension'));
    if (typeof child !== 'string') return sealIn(protection, child, at, inValue, seal);
    const isNumber = isIdentifier && name === 'value' ? holdsNational(child) : holdsNumber(child);
    const isHidden =
      (isValue && name === 'value') ||
      (inValue && name !== 'url') ||
      (name === 'div' && path.endsWith('.text')) ||
      (name === 'data' && typeof (node as Node).contentType === 'string') ||
      isNumber ||
      child.startsWith(SEALED_MARK);
    return isHidden ? seal(child, positionOf(at, system)) : child;
  });
}

function openIn(node: unknown, path: string, open: Change): unknown {
  if (Array.isArray(node)) return node.map((each) => openIn(each, path, open));
  if (typeof node !== 'object' || node === null) return node;
  return mapTexts(node as Node, path, (child, _name, at) => {
    if (typeof child !== 'string') return openIn(child, at, open);
    return child.startsWith(SEALED_MARK) ? open(child, positionOf(at, (node as ValueHolder).system)) : child;
  });
}

/** Texts and nodes of an object by name; those of an array of texts one by one. */
function mapTexts(node: Node, path: string, change: (child: unknown, name: string, at: string) => unknown): Node {
  return Object.fromEntries(
    Object.entries(node).map(([name, child]) => {
      const at = `${path}.${name}`;
      const isTexts = Array.isArray(child) && child.some((each) => typeof each === 'string');
      return [name, isTexts ? child.map((each) => change(each, name, at)) : change(child, name, at)];
    }),
  );
}

/** A text that is sealed wherever it stands. */
const isHiddenText = (text: unknown): boolean => typeof text === 'string' && (holdsNumber(text) || text.startsWith(SEALED_MARK));

/** A system that is sealed itself binds nothing. */
const positionOf = (at: string, system: unknown): string =>
  `${at}|${typeof system === 'string' && !system.startsWith(SEALED_MARK) ? system : ''}`;
