/** Codes of the project's own code systems and value sets. */
import { canonicalResources } from './canonical-resources.js';
import { CANONICAL_BASE } from './codes.js';

let systems: Map<string, Set<string>> | undefined;
let valueSets: Map<string, Map<string, Set<string>>> | undefined;

/** Codes of one of our code systems by its URL; undefined when there is none of that URL. */
export function codesOfSystem(url: string): Set<string> | undefined {
  systems ??= new Map(
    canonicalResources('CodeSystem').map((system) => [system.url as string, new Set((system.concept ?? []).map((c) => c.code))]),
  );
  return systems.get(url);
}

/** True for a URL under our canonical base, whether we define something there or not. */
export function isOwnUrl(url: unknown): url is string {
  return typeof url === 'string' && url.startsWith(`${CANONICAL_BASE}/`);
}

/**
 * One of our value sets by its URL, as system -> codes.
 * @throws when there is none, or it includes a whole code system that isn't ours.
 */
export function valueSet(url: string): Map<string, Set<string>> {
  valueSets ??= new Map(canonicalResources('ValueSet').map((set) => [set.url as string, expand(set.compose?.include ?? [])]));
  const found = valueSets.get(url);
  if (!found) throw new Error(`Unknown value set ${url}`);
  return found;
}

function expand(includes: { system?: string; concept?: { code?: string }[] }[]): Map<string, Set<string>> {
  return new Map(
    includes.map(({ system, concept }) => {
      const codes = concept ? new Set(concept.map((c) => c.code as string)) : codesOfSystem(system as string);
      if (!codes) throw new Error(`Code system ${system} can't be enumerated`);
      return [system as string, codes];
    }),
  );
}
