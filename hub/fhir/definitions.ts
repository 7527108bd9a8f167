import { type CanonicalType, canonicalResource } from '../../fhir-profiles/canonical-resources.js';
import type { FhirResponse } from './exchange.js';

const KINDS: ReadonlySet<string> = new Set<CanonicalType>(['StructureDefinition', 'CodeSystem', 'ValueSet', 'SearchParameter']);

/** The project's own definitions can be read where its CapabilityStatement points; they are public and hold no data. */
export function definition(path: readonly string[]): FhirResponse | undefined {
  const [kind = '', id = ''] = path;
  if (path.length !== 2 || !KINDS.has(kind)) return undefined;
  const found = canonicalResource(kind as CanonicalType, id);
  return found ? { status: 200, body: JSON.stringify(found) } : undefined;
}
