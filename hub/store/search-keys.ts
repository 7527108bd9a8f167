/**
 * Fixed extractors: for each resource type of the hub, the search parameters of the FHIR R4 definition that are indexed, and how
 * each value is found. Written once, read by the store (which fills the index columns) and by the FHIR face (which searches them
 * and states them in its CapabilityStatement). No FHIRPath is evaluated when a resource is written.
 */
import { createHash } from 'node:crypto';
import { pinyin } from 'pinyin-pro';
import { type DateRange, dateRange } from './fhir-date.js';
import {
  blindIndexes,
  holdsNational,
  isProtected,
  looksNational,
  normalisedContact,
  normalisedIdentifier,
  type Protection,
  type ValueHolder,
} from './protection.js';

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
  /** Elements that hold the values, e.g. `series.bodySite`; of a date the first that is there counts. */
  elements: readonly string[];
  values: (resource: Json) => unknown[];
}

/** The values of an element, whether or not it repeats. */
export const list = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];

/** A path of elements, e.g. `series.bodySite`; `telecom[system=phone]` is those of a list with this system. */
export function stepsOf(path: string): { element: string; system?: string }[] {
  return path.split('.').map((step) => {
    const [, element = step, system] = /^(\w+)\[system=(\w+)\]$/.exec(step) ?? [];
    return { element, system };
  });
}

/** What stands at a path of elements, lists taken apart. */
function at(path: string): (resource: Json) => unknown[] {
  const steps = stepsOf(path);
  return (resource) =>
    steps.reduce<unknown[]>(
      (nodes, { element, system }) =>
        nodes
          .flatMap((n) => list((n as Json | null)?.[element]))
          .filter((n) => system === undefined || (n as Coding | null)?.system === system),
      [resource],
    );
}

type Extra = Partial<Pick<SearchKey, 'targets' | 'documentation'>>;

function keyOf(name: string, kind: KeyKind, type: SearchKey['type'], elements: readonly string[], extra: Extra = {}): SearchKey {
  const paths = elements.map(at);
  return { name, kind, type, elements, values: (resource) => paths.flatMap((path) => path(resource)), ...extra };
}

const token = (name: string, elements: readonly string[] = [name], extra: Extra = {}): SearchKey =>
  keyOf(name, 'token', 'token', elements, extra);
const reference = (name: string, targets: readonly string[], elements: readonly string[] = [name]): SearchKey =>
  keyOf(name, 'reference', 'reference', elements, { targets });
const date = (name: string, elements: readonly string[] = [name]): SearchKey => keyOf(name, 'date', 'date', elements);
const names = (name: string, elements: readonly string[] = [name]): SearchKey => keyOf(name, 'name', 'string', elements);
const patient = (name: string, extra: Extra = {}): SearchKey =>
  keyOf(name, 'patient', 'reference', ['subject', 'patient', 'for'], { targets: ['Patient'], ...extra });

/** By the value alone: R4 3.1.1.4.10 gives contacts no system, and lets punctuation be ignored. */
const contacts: readonly SearchKey[] = [token('telecom'), token('phone', ['telecom[system=phone]'])];

/** `date` keys of a type share one column range: a type has one primary date. */
export const searchKeys: Readonly<Record<string, readonly SearchKey[]>> = {
  Patient: [
    token('identifier'),
    token('gender'),
    token('active'),
    names('name'),
    date('birthdate', ['birthDate']),
    ...contacts,
    reference('organization', ['Organization'], ['managingOrganization']),
  ],
  RelatedPerson: [
    token('identifier'),
    token('active'),
    token('relationship'),
    token('gender'),
    names('name'),
    patient('patient'),
  ],
  ImagingStudy: [
    token('identifier'),
    token('status'),
    token('modality', ['modality', 'series.modality'], {
      documentation: 'Matches ImagingStudy.modality as well as ImagingStudy.series.modality (R4 looks at the series only).',
    }),
    token('bodysite', ['series.bodySite']),
    date('started'),
    patient('patient'),
    patient('subject'),
    reference('basedon', ['ServiceRequest'], ['basedOn']),
    reference('endpoint', ['Endpoint'], ['endpoint', 'series.endpoint']),
  ],
  DiagnosticReport: [
    token('identifier'),
    token('status'),
    token('code'),
    token('category'),
    date('date', ['effectiveDateTime', 'effectivePeriod', 'issued']),
    patient('patient'),
    patient('subject'),
    reference('based-on', ['ServiceRequest'], ['basedOn']),
    reference('result', ['Observation']),
    reference('performer', ['Organization', 'Practitioner', 'PractitionerRole']),
  ],
  Observation: [
    token('identifier'),
    token('status'),
    token('code'),
    token('category'),
    date('date', ['effectiveDateTime', 'effectivePeriod', 'effectiveInstant']),
    patient('patient'),
    patient('subject'),
    reference('based-on', ['ServiceRequest'], ['basedOn']),
    reference('derived-from', ['ImagingStudy', 'Observation'], ['derivedFrom']),
    reference('device', ['Device']),
  ],
  ServiceRequest: [
    token('identifier'),
    token('status'),
    token('intent'),
    token('priority'),
    token('code'),
    date('authored', ['authoredOn']),
    patient('patient'),
    patient('subject'),
    reference('requester', ['Organization', 'Practitioner', 'PractitionerRole']),
    reference('performer', ['Organization', 'Practitioner', 'PractitionerRole']),
  ],
  Task: [
    token('identifier'),
    token('status'),
    token('business-status', ['businessStatus']),
    token('intent'),
    token('priority'),
    token('code'),
    date('authored-on', ['authoredOn']),
    patient('patient', { documentation: 'Task.for' }),
    reference('focus', ['ImagingStudy', 'ServiceRequest']),
    reference('based-on', ['ServiceRequest'], ['basedOn']),
    reference('requester', ['Organization', 'Practitioner', 'PractitionerRole', 'Device']),
    reference('owner', ['Organization', 'Practitioner', 'PractitionerRole', 'Device']),
  ],
  Consent: [
    token('identifier'),
    token('status'),
    token('scope'),
    token('category'),
    date('date', ['dateTime']),
    patient('patient'),
    reference('organization', ['Organization']),
  ],
  Organization: [
    token('identifier'),
    token('active'),
    token('type'),
    names('name', ['name', 'alias']),
    reference('partof', ['Organization'], ['partOf']),
  ],
  OrganizationAffiliation: [
    token('identifier'),
    token('active'),
    token('role', ['code']),
    date('date', ['period']),
    reference('primary-organization', ['Organization'], ['organization']),
    reference('participating-organization', ['Organization'], ['participatingOrganization']),
  ],
  Endpoint: [
    token('identifier'),
    token('status'),
    token('connection-type', ['connectionType']),
    names('name'),
    reference('organization', ['Organization'], ['managingOrganization']),
  ],
  Practitioner: [token('identifier'), token('active'), names('name'), ...contacts],
  PractitionerRole: [
    token('identifier'),
    token('active'),
    token('role', ['code']),
    reference('practitioner', ['Practitioner']),
    reference('organization', ['Organization']),
  ],
  Device: [token('identifier'), token('status'), token('type')],
  Provenance: [reference('target', ['ImagingStudy', 'DiagnosticReport', 'Observation', 'Task']), date('recorded')],
};

/** Whether the parameter is a reference: can be chained, included, and asked for in reverse. */
export const isReference = (key: SearchKey): boolean => key.type === 'reference';

/** A token as it is, or an Identifier or ContactPoint whose tokens depend on whether it is protected. */
export type Token = string | { name: string; holder: ValueHolder & { value: string } };

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

/** Sensitivity labels, `system|code`. */
export const labelsOf = (resource: FhirResource): string[] =>
  (resource.meta?.security ?? []).map((c) => `${c.system ?? ''}|${c.code ?? ''}`);

/** Extracts the index columns. Pure: the same resource gives the same keys. */
export function extractKeys(resource: Json): Keys {
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
export const LONGEST_TOKEN = 32;

/** A token as it is indexed and searched: a long one by its digest (132 bits of SHA-256), because column and index each hold it in full. */
export const tokenKey = (token: string): string =>
  token.length <= LONGEST_TOKEN ? token : `#${createHash('sha256').update(token).digest('base64url').slice(0, 22)}`;

/** Token keys: `param=system|code`, `param=code` for any system, `param=system|` for any code, `param=|code` for none. */
function tokensOf(name: string, value: unknown): Token[] {
  if (typeof value === 'string' || typeof value === 'boolean') return [`${name}=${value}`, `${name}=|${value}`];
  const item = value as { coding?: unknown; system?: string; code?: string; value?: string } | undefined;
  if (!item || typeof item !== 'object') return [];
  if (item.coding) return list(item.coding).flatMap((c) => tokensOf(name, c));
  if (item.code === undefined) return typeof item.value === 'string' ? [{ name, holder: item as { value: string } }] : [];
  return [`${name}=${item.system ?? ''}|${item.code}`, `${name}=${item.code}`, ...ofSystem(name, item.system)];
}

/** Any value of a system: no value is told. */
const ofSystem = (name: string, system: unknown): string[] => (system ? [`${name}=${system}|`] : []);

const CONTACTS = /^(telecom|phone)$/;

/** The tokens of a resource as they are stored: protected values by their blind index. */
export const storedTokens = (protection: Protection, tokens: readonly Token[]): string[] => [
  ...new Set(tokens.flatMap((t) => (typeof t === 'string' ? storedToken(protection, t) : heldTokens(protection, t)))),
];

function storedToken(protection: Protection, text: string): string {
  return holdsNational(text) ? (blindIndexes(protection, text)[0] as string) : tokenKey(text);
}

function heldTokens(protection: Protection, { name, holder }: Exclude<Token, string>): string[] {
  const system = typeof holder.system === 'string' ? holder.system : '';
  if (CONTACTS.test(name)) return [contactIndexes(protection, name, holder.value)[0] as string];
  if (!isProtected(protection, holder))
    return [`${name}=${system}|${holder.value}`, `${name}=${holder.value}`, ...ofSystem(name, system)].map(tokenKey);
  const value = normalisedIdentifier(holder.value);
  return [
    ...[`${name}=${system}|${value}`, `${name}=${value}`].map((form) => blindIndexes(protection, form)[0] as string),
    ...ofSystem(name, system).map(tokenKey),
  ];
}

const contactIndexes = (protection: Protection, name: string, value: string): string[] =>
  blindIndexes(protection, `${name}=${normalisedContact(value)}`);

/** Whether a search for `name=...` may have to look for a blind index too. Studies have identifiers of their own kind only. */
export const mayBeProtected = (type: string, token: string): boolean =>
  /^(telecom|phone)=/.test(token) || (token.startsWith('identifier=') && type !== 'ImagingStudy') || holdsNational(token);

/** The tokens under which `name=[system|]value` may be stored, under any key: a row that has one of them matches. */
export function searchedTokens(protection: Protection, type: string, token: string): string[] {
  if (!mayBeProtected(type, token)) return [tokenKey(token)];
  const name = token.slice(0, token.indexOf('='));
  const text = token.slice(name.length + 1);
  if (CONTACTS.test(name)) return contactIndexes(protection, name, text.slice(text.indexOf('|') + 1));
  if (name !== 'identifier') return [tokenKey(token), ...blindIndexes(protection, token)];
  const bar = text.indexOf('|');
  const system = text.slice(0, Math.max(bar, 0));
  const value = text.slice(bar + 1);
  if (value === '') return [tokenKey(token)];
  const form = `identifier=${bar < 0 ? '' : `${system}|`}${normalisedIdentifier(value)}`;
  const isCertain = bar >= 0 && protection.systems.has(system);
  return [...(isCertain || looksNational(value) ? [] : [tokenKey(token)]), ...blindIndexes(protection, form)];
}

function addReference(tokens: Set<Token>, name: string, value: unknown): void {
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

/** Organizations that are a party to the record: requester, owner, performer; the two sides of an affiliation. */
function partiesOf(resource: Json): string[] {
  const targets = partyReferences(resource).map((r) => (r as { reference?: string } | undefined)?.reference ?? '');
  return [
    ...new Set(targets.filter((t) => t.startsWith('Organization/')).map((t) => localReference(t).slice('Organization/'.length))),
  ];
}

function partyReferences(resource: Json): unknown[] {
  if (resource.resourceType === 'OrganizationAffiliation') return [resource.organization, resource.participatingOrganization];
  if (!['Task', 'ServiceRequest', 'DiagnosticReport'].includes(resource.resourceType)) return [];
  // A draft is not sent yet: those who will be asked don't see it.
  const asked = resource.status === 'draft' ? [] : [resource.owner, ...list(resource.performer)];
  return [resource.requester, ...asked];
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
