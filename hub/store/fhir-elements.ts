import { localReference } from './search-keys.js';

/** FHIR CodeableConcept and Reference, as far as the hub looks inside. */
export interface Concept {
  coding?: { system?: string; code?: string; display?: string }[];
  text?: string;
}
export interface Reference {
  reference?: string;
}

/** The code of a concept in one system. */
export const codeIn = (concept: Concept | undefined, system: string): string | undefined =>
  concept?.coding?.find((c) => c.system === system)?.code;

/** The id of a local reference to a type: `Organization/x` gives `x`. */
export function idOf(reference: Reference | undefined, type: string): string | undefined {
  const target = localReference(reference?.reference ?? '');
  return target.startsWith(`${type}/`) ? target.slice(type.length + 1) : undefined;
}
