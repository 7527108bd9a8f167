import { type DateRange, dateRange } from './fhir-date.js';
import { wordsOf } from './name-words.js';
import { type FhirResource, labelsOf, list, localReference, searchKeys } from './search-keys.js';
import { type Token, tokensOf } from './tokens.js';

/** The index columns of one resource. */
export interface Keys {
  patientId: string;
  tokens: Token[];
  words: string[];
  date: DateRange | undefined;
  labels: string[];
  parties: string[];
  modality: string[];
  bodySite: string[];
}

/** Extracts the index columns. Pure: the same resource gives the same keys. */
export function extractKeys(resource: FhirResource): Keys {
  const tokens = new Set<Token>();
  const words = new Set<string>();
  let range: DateRange | undefined;
  for (const key of searchKeys[resource.resourceType] ?? []) {
    for (const value of key.values(resource)) {
      if (key.kind === 'token') for (const t of tokensOf(key.name, value)) tokens.add(t);
      else if (key.kind === 'reference') addReference(tokens, key.name, value);
      else if (key.kind === 'name') for (const w of wordsOf(value)) words.add(w);
      else if (key.kind === 'date') range ??= dateRange(value);
    }
  }
  for (const label of resource.meta?.security ?? []) for (const t of tokensOf('_security', label)) tokens.add(t);
  return {
    patientId: compartment(resource),
    tokens: [...tokens],
    words: [...words],
    date: range,
    labels: labelsOf(resource),
    parties: partiesOf(resource),
    ...imagingScope(resource),
  };
}

/** Modalities and body sites by code, '' for a series without one: what a limited sharing scope is compared with. */
export function imagingScope(resource: FhirResource): { modality: string[]; bodySite: string[] } {
  if (resource.resourceType !== 'ImagingStudy') return { modality: [], bodySite: [] };
  const series = list(resource.series) as FhirResource[];
  // a series that does not say counts too: what is unknown lies outside a limited scope, whatever the other series are
  const codes = (values: unknown[]): string[] => [
    ...new Set(values.map((v) => (v as { code?: string } | undefined)?.code ?? '')),
  ];
  return {
    modality: codes([...list(resource.modality), ...series.map((s) => s.modality)]),
    bodySite: codes(series.map((s) => s.bodySite)),
  };
}

function addReference(tokens: Set<Token>, name: string, value: unknown): void {
  const target = (value as { reference?: string } | undefined)?.reference;
  if (target) tokens.add(`${name}=${localReference(target)}`);
}

function patientReference(resource: FhirResource): unknown {
  if (resource.resourceType === 'Appointment') return list(resource.participant).map(actorOf).find(isPatient);
  return resource.subject ?? resource.patient ?? resource.for;
}

const actorOf = (participant: unknown): unknown => (participant as { actor?: unknown } | null)?.actor;
const isPatient = (actor: unknown): boolean =>
  String((actor as { reference?: string } | undefined)?.reference ?? '').startsWith('Patient/');

/** Id of the Patient whose compartment holds the resource; '' when it has none. */
function compartment(resource: FhirResource): string {
  if (resource.resourceType === 'Patient') return resource.id ?? '';
  const target = (patientReference(resource) as { reference?: string } | undefined)?.reference ?? '';
  return target.startsWith('Patient/') ? localReference(target).slice('Patient/'.length) : '';
}

/** Organizations that are a party to the record: requester, owner, performer; the two sides of an affiliation. */
function partiesOf(resource: FhirResource): string[] {
  const targets = partyReferences(resource).map((r) => (r as { reference?: string } | undefined)?.reference ?? '');
  return [
    ...new Set(targets.filter((t) => t.startsWith('Organization/')).map((t) => localReference(t).slice('Organization/'.length))),
  ];
}

function partyReferences(resource: FhirResource): unknown[] {
  if (resource.resourceType === 'OrganizationAffiliation') return [resource.organization, resource.participatingOrganization];
  if (!['Task', 'ServiceRequest', 'DiagnosticReport'].includes(resource.resourceType)) return [];
  // A draft is not sent yet: those who will be asked don't see it.
  const asked = resource.status === 'draft' ? [] : [resource.owner, ...list(resource.performer)];
  return [resource.requester, ...asked];
}
