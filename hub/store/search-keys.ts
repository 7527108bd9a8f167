/**
 * Fixed extractors: for each resource type of the hub, the search parameters of the FHIR R4 definition that are indexed, and how
 * each value is found. Written once, read by the store (which fills the index columns) and by the FHIR face (which searches them
 * and states them in its CapabilityStatement). No FHIRPath is evaluated when a resource is written.
 */

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
  values: (resource: FhirResource) => unknown[];
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
function at(path: string): (resource: FhirResource) => unknown[] {
  const steps = stepsOf(path);
  return (resource) =>
    steps.reduce<unknown[]>(
      (nodes, { element, system }) =>
        nodes
          .flatMap((n) => list((n as FhirResource | null)?.[element]))
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
  Appointment: [
    token('identifier'),
    token('status'),
    token('service-type', ['serviceType']),
    date('date', ['start']),
    keyOf('patient', 'patient', 'reference', ['participant.actor'], { targets: ['Patient'] }),
    reference('based-on', ['ServiceRequest'], ['basedOn']),
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

/** `Type/id` of a reference, without version; absolute URLs and urns stay as they are. */
export function localReference(target: string): string {
  return target.replace(/\/_history\/.*$/, '');
}

/** Sensitivity labels, `system|code`. */
export const labelsOf = (resource: FhirResource): string[] =>
  (resource.meta?.security ?? []).map((c) => `${c.system ?? ''}|${c.code ?? ''}`);
