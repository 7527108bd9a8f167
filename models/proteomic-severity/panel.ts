import type { Input } from '../finding.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import type { ObservedValue } from '../pipeline.js';

/** The proteins of one sample in the order of the manifest; NaN where one was not measured. */
export interface Panel {
  values: number[];
  inputs: Input[];
}

/**
 * Takes the panel out of laboratory values. `not-applicable` where too many proteins are missing, a unit is another, or the values are not of one sample;
 * `malformed-input` where one protein has two values. Values of other proteins are left aside.
 */
export function panelOf(observations: readonly ObservedValue[], { accepts, parameters }: Manifest): Outcome<Panel> {
  const wanted = accepts.observations;
  if (!wanted) return failure('invalid-model', 'The manifest does not say which values the model accepts.');
  const found = wanted.codes.map((code) => observations.filter(({ codings }) => codings.some((c) => isSame(c, code))));
  const used = found.flat();
  const other = used.find(({ unit }) => withoutAnnotation(unit) !== wanted.unit);
  if (other) return failure('not-applicable', `A value is in ${other.unit.slice(0, 32)}, the model reads ${wanted.unit}.`);
  const twice = found.findIndex((values) => new Set(values.map(({ value }) => value)).size > 1);
  if (twice >= 0) return failure('malformed-input', `${wanted.codes[twice]!.display} has several values.`);
  const missing = found.filter((values) => values.length === 0).length;
  if (missing > wanted.mostMissing)
    return failure('not-applicable', `${missing} proteins of the panel are missing; at most ${wanted.mostMissing} may be.`);
  if (!(hoursBetween(used) <= parameters['sampleHours']!))
    return failure('not-applicable', 'The values are not of one sample: their times lie too far apart.');
  const values = found.map(([first]) => first?.value ?? Number.NaN);
  return success({ values, inputs: used.map(({ observationId, sha256 }) => ({ observationId, sha256 })) });
}

const isSame = (a: { system: string; code: string }, b: { system: string; code: string }): boolean =>
  a.system === b.system && a.code === b.code;

/** UCUM section 2.1: braces hold an annotation, which is worth 1. */
const withoutAnnotation = (unit: string): string => unit.replace(/\{[^{}]*\}/g, '') || '1';

function hoursBetween(values: readonly ObservedValue[]): number {
  const times = values.map(({ effective }) => Date.parse(effective));
  return (Math.max(...times) - Math.min(...times)) / 3_600_000;
}
