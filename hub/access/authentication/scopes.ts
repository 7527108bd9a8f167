/** Letters of SMART App Launch 2: create, read, update, delete, search. */
export type Interaction = 'c' | 'r' | 'u' | 'd' | 's';
export type ScopeContext = 'system' | 'user' | 'patient';

/** Longest scope string that is looked at. */
export const MAX_SCOPE_LENGTH = 4096;

// A v2 scope with a search part ("?category=...") narrows in a way that is not enforced here, so it is no scope at all: it allows nothing.
const SCOPE = /^(system|user|patient)\/(\*|[A-Z][A-Za-z]{1,63})\.(read|write|\*|(?=[cruds])c?r?u?d?s?)$/;
const VERSION_1: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };

interface ParsedScope {
  text: string;
  context: ScopeContext;
  type: string;
  interactions: string;
}

/**
 * Whether a token's scope permits an interaction on a resource type (SMART App Launch 2.2 "Scopes for requesting FHIR Resources":
 * v2 `user/ImagingStudy.rs`, v1 `user/ImagingStudy.read`, `*` for every type). It is an upper bound; policy decides within it.
 */
export function scopeAllows(scope: string, resourceType: string, interaction: Interaction): boolean {
  return parseScopes(scope).some((s) => (s.type === '*' || s.type === resourceType) && s.interactions.includes(interaction));
}

/** Whether every part of `asked` is a resource scope that lies within `registered`. An empty `asked` asks for nothing and is false. */
export function scopeCovers(registered: string, asked: string): boolean {
  const held = parseScopes(registered);
  const parts = words(asked);
  return parts.length > 0 && parts.every((part) => covers(held, parseScope(part)));
}

/** The resource scopes in one of the contexts, in their order, without the rest (`openid`, `profile`, ...). */
export function scopesIn(contexts: readonly ScopeContext[], scope: string): string {
  return parseScopes(scope)
    .filter((s) => contexts.includes(s.context))
    .map((s) => s.text)
    .join(' ');
}

function covers(held: readonly ParsedScope[], asked: ParsedScope | undefined): boolean {
  if (!asked) return false;
  const applicable = held.filter((h) => h.context === asked.context && (h.type === '*' || h.type === asked.type));
  return [...asked.interactions].every((letter) => applicable.some((h) => h.interactions.includes(letter)));
}

function parseScopes(scope: string): ParsedScope[] {
  return words(scope).flatMap((word) => parseScope(word) ?? []);
}

function parseScope(text: string): ParsedScope | undefined {
  const [, context, type, letters] = SCOPE.exec(text) ?? [];
  if (!context || !type || !letters) return undefined;
  return { text, context: context as ScopeContext, type, interactions: VERSION_1[letters] ?? letters };
}

function words(scope: string): string[] {
  return scope.length > MAX_SCOPE_LENGTH ? [] : scope.split(' ').filter(Boolean);
}
