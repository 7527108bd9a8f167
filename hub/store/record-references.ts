import { type FhirResource, list, localReference } from './search-keys.js';

/** Instances of a study are many and refer to nothing. */
const WITHOUT_REFERENCES = new Set(['instance', 'contained', 'text']);

/** References to other records: `Type/id`, or a URL. Not to patients, organizations and endpoints, which have columns of their own. */
export function refersOf(resource: FhirResource): string[] {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, child] of Object.entries(value)) {
      if (name === 'reference' && typeof child === 'string') found.add(localReference(child));
      else if (!WITHOUT_REFERENCES.has(name)) look(child);
    }
  };
  look(resource);
  return [...found].filter((target) => !target.startsWith('#') && !/(^|\/)(Patient|Organization|Endpoint)\/[^/]+$/.test(target));
}

/** Elements that name who made a record; who asked for it, or referred the patient, is not its author. */
const AUTHORS: Readonly<Record<string, (resource: FhirResource) => unknown>> = {
  ImagingStudy: (r) => [
    list(r.interpreter),
    list(r.series).flatMap((s) => list((s as FhirResource).performer).map((p) => (p as FhirResource).actor)),
  ],
  DiagnosticReport: (r) => [list(r.performer), list(r.resultsInterpreter)],
  Observation: (r) => [list(r.performer), list(r.device)],
  ServiceRequest: (r) => list(r.requester),
  Task: (r) => list(r.requester),
  Consent: (r) => list(r.performer),
  Provenance: (r) => list(r.agent).map((a) => (a as FhirResource).who),
};

/** References to who made a record; empty when nobody is named. A role, or an organization alone, leaves open who it was: `?` says so. */
export function authorsOf(resource: FhirResource): string[] {
  const named = list(AUTHORS[resource.resourceType]?.(resource))
    .flat()
    .flatMap((r) => (r as { reference?: string } | undefined)?.reference ?? []);
  const authors = [...new Set(named.map(localReference))];
  const isPerson = (author: string): boolean => /^(Practitioner|Device)\//.test(author);
  const isOpen = !authors.some(isPerson) || authors.some((a) => !isPerson(a) && !a.startsWith('Organization/'));
  return authors.length > 0 && isOpen ? [...authors, '?'] : authors;
}
