/** The project's own FHIR definitions: profiles, extensions, code systems, value sets and search parameters, read once. */
import { readdirSync, readFileSync } from 'node:fs';
import type { CodeSystem, SearchParameter, StructureDefinition, ValueSet } from '@medplum/fhirtypes';

interface CanonicalResources {
  StructureDefinition: StructureDefinition;
  CodeSystem: CodeSystem;
  ValueSet: ValueSet;
  SearchParameter: SearchParameter;
}
export type CanonicalType = keyof CanonicalResources;

const folders: Record<CanonicalType, string> = {
  StructureDefinition: 'structure-definitions',
  CodeSystem: 'code-systems',
  ValueSet: 'value-sets',
  SearchParameter: 'search-parameters',
};
const loaded = new Map<CanonicalType, unknown[]>();

/** All resources of a type, in the order of their ids. Shared: don't change them. */
export function canonicalResources<T extends CanonicalType>(type: T): readonly CanonicalResources[T][] {
  let resources = loaded.get(type) as CanonicalResources[T][] | undefined;
  if (!resources) {
    resources = readFolder(folders[type]) as CanonicalResources[T][];
    loaded.set(type, resources);
  }
  return resources;
}

/** One resource by its id, for example `('CodeSystem', 'task-kind')`. */
export function canonicalResource<T extends CanonicalType>(type: T, id: string): CanonicalResources[T] | undefined {
  return canonicalResources(type).find((resource) => resource.id === id);
}

/** Canonical URLs of the profiles on a resource type, for CapabilityStatement.rest.resource.supportedProfile. */
export function profileUrls(resourceType: string): string[] {
  return canonicalResources('StructureDefinition')
    .filter((definition) => definition.type === resourceType)
    .map((definition) => definition.url);
}

/** What a code of the project's own systems is called in a language (CodeSystem.concept.designation); its display where it has no such name, or is another system's. */
export function nameOf({ system, code, display }: { system: string; code: string; display: string }, language: string): string {
  const concepts = canonicalResources('CodeSystem').find(({ url }) => url === system)?.concept ?? [];
  const designations = concepts.find((concept) => concept.code === code)?.designation ?? [];
  return designations.find((designation) => designation.language === language)?.value ?? display;
}

function readFolder(name: string): unknown[] {
  const folder = new URL(`./${name}/`, import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.sort().map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')));
}
