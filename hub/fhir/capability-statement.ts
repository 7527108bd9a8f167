import { canonicalResource, profileUrls } from '../../fhir-profiles/canonical-resources.js';
import { modalitySearchParameter } from '../../fhir-profiles/codes.js';
import type { Config } from '../config.js';
import { isReference, type SearchKey, searchKeys } from '../store/search-keys.js';
import { auditSearchParameters } from '../audit/search-parameters.js';
import { typeRules } from './types.js';

const COMMON = [
  { name: '_id', type: 'token', documentation: 'Modifiers: not.' },
  { name: '_lastUpdated', type: 'date' },
  { name: '_security', type: 'token', documentation: 'Modifiers: not, missing.' },
];

/** R4 has no element for these: what every search of a versioned type takes. */
const SEARCHES =
  'Searches take chained parameters and _has, three references deep together; _include and _revinclude, with :iterate four rounds deep and ' +
  'up to 1000 resources; _elements; _summary; _sort by _id, _lastUpdated or the date parameter; _count; _total. ' +
  'What a caller may not read is no link of a chain or _has, is not included and is not counted.';

/** What this server does, made from the same tables that do it (R4 5.1). */
export function capabilityStatement(config: Config): object {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-11-23',
    kind: 'instance',
    software: { name: 'Regional imaging federation hub' },
    implementation: { description: 'Index of imaging studies of a region', url: `${config.publicUrl}/fhir` },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json'],
    rest: [
      {
        mode: 'server',
        documentation: SEARCHES,
        security: security(config),
        resource: Object.keys(typeRules).map(resourceCapability),
        interaction: [{ code: 'batch' }, { code: 'transaction' }],
      },
    ],
  };
}

function security(config: Config): object {
  return {
    service: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' }] }],
    description:
      'SMART Backend Services for systems, OpenID Connect for people; role and purpose of use as IHE IUA claims. Every answer is filtered by ownership, sharing and consent.',
    extension: [
      {
        url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
        extension: [{ url: 'token', valueUri: `${config.publicUrl}/token` }],
      },
    ],
  };
}

/** Sensitivity labels are read and set by FHIR's own operations on meta. */
const META_OPERATIONS = ['meta', 'meta-add', 'meta-delete'].map((name) => ({
  name,
  definition: `http://hl7.org/fhir/OperationDefinition/Resource-${name}`,
}));
const LABELLED = ['Patient', 'ImagingStudy', 'DiagnosticReport', 'Observation'];

function resourceCapability(type: string): object {
  const writable = (typeRules[type]?.writers.length ?? 0) > 0;
  const versioned = type !== 'AuditEvent';
  const keys = searchKeys[type] ?? [];
  const includes = keys.filter(isReference).map((k) => `${type}:${k.name}`);
  const reverse = Object.entries(searchKeys).flatMap(([source, of]) =>
    of.filter((k) => k.targets?.includes(type)).map((k) => `${source}:${k.name}`),
  );
  const profiles = profileUrls(type);
  return {
    type,
    ...(profiles.length > 0 ? { supportedProfile: profiles } : {}),
    interaction: [
      { code: 'read' },
      { code: 'search-type' },
      ...(versioned ? [{ code: 'vread' }, { code: 'history-instance' }] : []),
      ...(writable ? [{ code: 'create' }, { code: 'update' }] : []),
    ],
    ...(LABELLED.includes(type) ? { operation: META_OPERATIONS } : {}),
    versioning: versioned ? 'versioned-update' : 'no-version',
    ...(versioned ? { readHistory: true } : {}),
    ...(writable ? { updateCreate: typeRules[type]?.clientIds === true, conditionalCreate: true, conditionalUpdate: true } : {}),
    ...(includes.length > 0 ? { searchInclude: includes } : {}),
    ...(reverse.length > 0 ? { searchRevInclude: reverse } : {}),
    searchParam: type === 'AuditEvent' ? auditSearchParameters : [...COMMON, ...searchParameters(type)],
  };
}

function searchParameters(type: string): object[] {
  const keys = searchKeys[type] ?? [];
  const own = keys.map((key) => {
    const definition = type === 'ImagingStudy' && key.name === 'modality' ? modalitySearchParameter : undefined;
    const documentation = definition
      ? canonicalResource('SearchParameter', 'imagingstudy-modality')?.description
      : key.documentation;
    const said = [documentation, ways(key)].filter(Boolean).join(' ');
    return { name: key.name, ...(definition ? { definition } : {}), type: key.type, documentation: said };
  });
  const byPatient = {
    name: 'patient.identifier',
    type: 'token',
    documentation: 'The Patient with this identifier, and the Patients of the same person.',
  };
  return keys.some((k) => k.kind === 'patient') ? [...own, byPatient] : own;
}

/** Modifiers of a parameter, and the types that it chains to. */
function ways(key: SearchKey): string {
  if (key.kind === 'token') return 'Modifiers: not, missing.';
  if (!isReference(key)) return 'Modifiers: missing.';
  const targets = (key.targets ?? []).join(', ');
  return `Modifiers: missing, ${targets}. Chains: ${targets}.`;
}
