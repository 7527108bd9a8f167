/**
 * Fixed extractors: for each resource type of the hub, the search parameters of the FHIR R4 definition that are indexed, and how
 * each value is found. Written once, read by the store (which fills the index columns) and by the FHIR face (which searches them
 * and states them in its CapabilityStatement). No FHIRPath is evaluated when a resource is written.
 */
import { createHash } from 'node:crypto';
import { pinyin } from 'pinyin-pro';
import { type DateRange, dateRange } from './fhir-date.js';

/** Any FHIR resource as JSON. */
export interface FhirResource {
  resourceType: string;
  id?: string;
  meta?: { versionId?: string; lastUpdated?: string; profile?: string[]; security?: Coding[]; tag?: Coding[]; source?: string };
  // biome-ignore lint/suspicious/noExplicitAny: a resource is a tree whose shape its StructureDefinition gives
  [element: string]: any;
}

interface Coding {
  system?: string;
  code?: string;
}

type Json = FhirResource;

/** How a parameter is matched: FHIR search parameter types, plus `patient` (the compartment column) and `name` (words, pinyin too). */
export type KeyKind = 'token' | 'reference' | 'date' | 'patient' | 'name';

export interface SearchKey {
  name: string;
  kind: KeyKind;
  /** FHIR search parameter type as the CapabilityStatement says it. */
  type: 'token' | 'reference' | 'date' | 'string';
  /** Allowed target types of a reference. */
  targets?: readonly string[];
  /** Canonical definition when it is not FHIR's own. */
  definition?: string;
  documentation?: string;
  values: (resource: Json) => unknown;
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]);
const token = (name: string, values: SearchKey['values'], extra: Partial<SearchKey> = {}): SearchKey => ({
  name,
  kind: 'token',
  type: 'token',
  values,
  ...extra,
});
const reference = (name: string, targets: readonly string[], values: SearchKey['values']): SearchKey => ({
  name,
  kind: 'reference',
  type: 'reference',
  targets,
  values,
});
const date = (name: string, values: SearchKey['values']): SearchKey => ({ name, kind: 'date', type: 'date', values });
const names = (name: string, values: SearchKey['values']): SearchKey => ({ name, kind: 'name', type: 'string', values });
const patient = (name: string): SearchKey => ({
  name,
  kind: 'patient',
  type: 'reference',
  targets: ['Patient'],
  values: patientReference,
});

/** `date` keys of a type share one column range: a type has one primary date. */
export const searchKeys: Readonly<Record<string, readonly SearchKey[]>> = {
  Patient: [
    token('identifier', (r) => r.identifier),
    token('gender', (r) => r.gender),
    token('active', (r) => r.active),
    names('name', (r) => r.name),
    date('birthdate', (r) => r.birthDate),
    reference('organization', ['Organization'], (r) => r.managingOrganization),
  ],
  ImagingStudy: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('modality', (r) => [...list(r.modality), ...list(r.series).map((s) => (s as Json).modality)], {
      documentation: 'Matches ImagingStudy.modality as well as ImagingStudy.series.modality (R4 looks at the series only).',
    }),
    token('bodysite', (r) => list(r.series).map((s) => (s as Json).bodySite)),
    date('started', (r) => r.started),
    patient('patient'),
    patient('subject'),
    reference('basedon', ['ServiceRequest'], (r) => r.basedOn),
    reference('endpoint', ['Endpoint'], (r) => [
      ...list(r.endpoint),
      ...list(r.series).flatMap((s) => list((s as Json).endpoint)),
    ]),
  ],
  DiagnosticReport: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('code', (r) => r.code),
    token('category', (r) => r.category),
    date('date', (r) => r.effectiveDateTime ?? r.effectivePeriod ?? r.issued),
    patient('patient'),
    patient('subject'),
    reference('based-on', ['ServiceRequest'], (r) => r.basedOn),
    reference('result', ['Observation'], (r) => r.result),
    reference('performer', ['Organization', 'Practitioner', 'PractitionerRole'], (r) => r.performer),
  ],
  Observation: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('code', (r) => r.code),
    token('category', (r) => r.category),
    date('date', (r) => r.effectiveDateTime ?? r.effectivePeriod ?? r.effectiveInstant),
    patient('patient'),
    patient('subject'),
    reference('based-on', ['ServiceRequest'], (r) => r.basedOn),
    reference('derived-from', ['ImagingStudy', 'Observation'], (r) => r.derivedFrom),
    reference('device', ['Device'], (r) => r.device),
  ],
  ServiceRequest: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('intent', (r) => r.intent),
    token('priority', (r) => r.priority),
    token('code', (r) => r.code),
    date('authored', (r) => r.authoredOn),
    patient('patient'),
    patient('subject'),
    reference('requester', ['Organization', 'Practitioner', 'PractitionerRole'], (r) => r.requester),
    reference('performer', ['Organization', 'Practitioner', 'PractitionerRole'], (r) => r.performer),
  ],
  Task: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('business-status', (r) => r.businessStatus),
    token('intent', (r) => r.intent),
    token('priority', (r) => r.priority),
    token('code', (r) => r.code),
    date('authored-on', (r) => r.authoredOn),
    { ...patient('patient'), documentation: 'Task.for' },
    reference('focus', ['ImagingStudy', 'ServiceRequest'], (r) => r.focus),
    reference('based-on', ['ServiceRequest'], (r) => r.basedOn),
    reference('requester', ['Organization', 'Practitioner', 'PractitionerRole', 'Device'], (r) => r.requester),
    reference('owner', ['Organization', 'Practitioner', 'PractitionerRole', 'Device'], (r) => r.owner),
  ],
  Consent: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('scope', (r) => r.scope),
    token('category', (r) => r.category),
    date('date', (r) => r.dateTime),
    patient('patient'),
    reference('organization', ['Organization'], (r) => r.organization),
  ],
  Organization: [
    token('identifier', (r) => r.identifier),
    token('active', (r) => r.active),
    token('type', (r) => r.type),
    names('name', (r) => [r.name, ...list(r.alias)]),
    reference('partof', ['Organization'], (r) => r.partOf),
  ],
  OrganizationAffiliation: [
    token('identifier', (r) => r.identifier),
    token('active', (r) => r.active),
    token('role', (r) => r.code),
    date('date', (r) => r.period),
    reference('primary-organization', ['Organization'], (r) => r.organization),
    reference('participating-organization', ['Organization'], (r) => r.participatingOrganization),
  ],
  Endpoint: [
    token('identifier', (r) => r.identifier),
    token('status', (r) => r.status),
    token('connection-type', (r) => r.connectionType),
    names('name', (r) => r.name),
    reference('organization', ['Organization'], (r) => r.managingOrganization),
  ],
  Practitioner: [token('identifier', (r) => r.identifier), token('active', (r) => r.active), names('name', (r) => r.name)],
  PractitionerRole: [
    token('identifier', (r) => r.identifier),
    token('active', (r) => r.active),
    token('role', (r) => r.code),
    reference('practitioner', ['Practitioner'], (r) => r.practitioner),
    reference('organization', ['Organization'], (r) => r.organization),
  ],
  Device: [token('identifier', (r) => r.identifier), token('status', (r) => r.status), token('type', (r) => r.type)],
  Provenance: [
    reference('target', ['ImagingStudy', 'DiagnosticReport', 'Observation', 'Task'], (r) => r.target),
    date('recorded', (r) => r.recorded),
  ],
};

/** The index columns of one resource. */
export interface Keys {
  patientId: string;
  tokens: string[];
  words: string[];
  date: DateRange | undefined;
  labels: string[];
  parties: string[];
  modality: string[];
  bodySite: string[];
}

/** Sensitivity labels, `system|code`. */
export const labelsOf = (resource: FhirResource): string[] =>
  (resource.meta?.security ?? []).map((c) => `${c.system ?? ''}|${c.code ?? ''}`);

/** Extracts the index columns. Pure: the same resource gives the same keys. */
export function extractKeys(resource: Json): Keys {
  const tokens = new Set<string>();
  const words = new Set<string>();
  let range: DateRange | undefined;
  for (const key of searchKeys[resource.resourceType] ?? []) {
    for (const value of list(key.values(resource)).flat()) {
      if (key.kind === 'token') for (const t of tokensOf(key.name, value)) tokens.add(t);
      else if (key.kind === 'reference') addReference(tokens, key.name, value);
      else if (key.kind === 'name') for (const w of wordsOf(value)) words.add(w);
      else if (key.kind === 'date') range ??= dateRange(value);
    }
  }
  for (const label of resource.meta?.security ?? []) for (const t of tokensOf('_security', label)) tokens.add(t);
  return {
    patientId: compartment(resource),
    tokens: [...tokens].map(tokenKey),
    words: [...words],
    date: range,
    labels: labelsOf(resource),
    parties: partiesOf(resource),
    ...imagingScope(resource),
  };
}

/** Modalities and body sites by code, '' for a series without one: what a limited sharing scope is compared with. */
function imagingScope(resource: Json): { modality: string[]; bodySite: string[] } {
  if (resource.resourceType !== 'ImagingStudy') return { modality: [], bodySite: [] };
  const series = list(resource.series) as Json[];
  // a series that does not say counts too: what is unknown lies outside a limited scope, whatever the other series are
  const codes = (values: unknown[]): string[] => [...new Set(values.map((v) => (v as Coding | undefined)?.code ?? ''))];
  return {
    modality: codes([...list(resource.modality), ...series.map((s) => s.modality)]),
    bodySite: codes(series.map((s) => s.bodySite)),
  };
}

/** Longest token that is indexed as it is, in characters. */
const LONGEST_TOKEN = 32;

/** A token as it is indexed and searched: a long one by its digest (132 bits of SHA-256), because column and index each hold it in full. */
export const tokenKey = (token: string): string =>
  token.length <= LONGEST_TOKEN ? token : `#${createHash('sha256').update(token).digest('base64url').slice(0, 22)}`;

/** Token keys: `param=system|code`, `param=code` for any system, `param=system|` for any code, `param=|code` for none. */
function tokensOf(name: string, value: unknown): string[] {
  if (typeof value === 'string' || typeof value === 'boolean') return [`${name}=${value}`, `${name}=|${value}`];
  const item = value as { coding?: unknown; system?: string; code?: string; value?: string } | undefined;
  if (!item || typeof item !== 'object') return [];
  if (item.coding) return list(item.coding).flatMap((c) => tokensOf(name, c));
  const code = item.code ?? item.value;
  if (code === undefined) return [];
  return [`${name}=${item.system ?? ''}|${code}`, `${name}=${code}`, ...(item.system ? [`${name}=${item.system}|`] : [])];
}

function addReference(tokens: Set<string>, name: string, value: unknown): void {
  const target = (value as { reference?: string } | undefined)?.reference;
  if (target) tokens.add(`${name}=${localReference(target)}`);
}

/** `Type/id` of a reference, without version; absolute URLs and urns stay as they are. */
export function localReference(target: string): string {
  return target.replace(/\/_history\/.*$/, '');
}

function patientReference(resource: Json): unknown {
  return resource.subject ?? resource.patient ?? resource.for;
}

/** Id of the Patient whose compartment holds the resource; '' when it has none. */
function compartment(resource: Json): string {
  if (resource.resourceType === 'Patient') return resource.id ?? '';
  const target = (patientReference(resource) as { reference?: string } | undefined)?.reference ?? '';
  return target.startsWith('Patient/') ? localReference(target).slice('Patient/'.length) : '';
}

/** Organizations that are a party to the record: requester, owner, performer. */
function partiesOf(resource: Json): string[] {
  if (!['Task', 'ServiceRequest', 'DiagnosticReport'].includes(resource.resourceType)) return [];
  // A draft is not sent yet: those who will be asked don't see it.
  const asked = resource.status === 'draft' ? [] : [resource.owner, ...list(resource.performer)];
  const targets = [resource.requester, ...asked].map((r) => (r as { reference?: string } | undefined)?.reference ?? '');
  return [
    ...new Set(targets.filter((t) => t.startsWith('Organization/')).map((t) => localReference(t).slice('Organization/'.length))),
  ];
}

const HAN = /\p{Script=Han}/u;

/** Words of a name in lower case; Chinese names also as characters joined and as pinyin (whole and by syllable). */
export function wordsOf(value: unknown): string[] {
  const name = value as { text?: string; family?: string; given?: string[] } | string | undefined;
  const parts = typeof name === 'string' ? [name] : [name?.text, name?.family, ...(name?.given ?? [])];
  return [...new Set(parts.filter((p): p is string => typeof p === 'string').flatMap(wordsOfText))];
}

function wordsOfText(text: string): string[] {
  const plain = text.normalize('NFKC').toLowerCase();
  const words = plain.split(/[\s^=,;·]+/).filter(Boolean);
  const han = words
    .filter((w) => HAN.test(w))
    .flatMap((w) => [pinyin(w, { toneType: 'none', type: 'string' }), pinyin(w, { toneType: 'none', type: 'array' }).join('')]);
  return [plain, ...words, ...han].map((w) => w.slice(0, 200));
}
