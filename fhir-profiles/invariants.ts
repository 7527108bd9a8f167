/**
 * Invariants of FHIR definitions and of our profiles: FHIRPath, evaluated by @medplum/core, but for those in
 * written-invariants.ts.
 */
import { evalFhirPathTyped, type FhirPathAtom, parseFhirPath } from '@medplum/core';
import { type InvariantContext, type Json, type Run, report, stop } from './run.js';
import { writtenInvariants } from './written-invariants.js';

export interface Invariant {
  key: string;
  human: string;
  /** True when it is FHIRPath, which costs some 50 microseconds each time. */
  isInterpreted: boolean;
  /** May throw on elements of the wrong type. */
  holds: (value: Json, type: string, context: InvariantContext) => boolean;
}

/** FHIRPath evaluations in one resource. */
const maxEvaluations = 10_000;

/** Compiles one constraint; the expression is parsed at its first use. */
export function compileInvariant({ key, expression, human }: { key: string; expression: string; human: string }): Invariant {
  const written = writtenInvariants.get(`${key} ${expression}`) ?? writtenInvariants.get(key);
  if (written) return { key, human, isInterpreted: false, holds: (value, _type, context) => written(value, context) };
  let atom: FhirPathAtom | undefined;
  const holds: Invariant['holds'] = (value, type, context) => {
    atom ??= parseFhirPath(expression);
    const [result, ...more] = evalFhirPathTyped(atom, [{ type, value }], variables(context));
    return more.length === 0 && result?.value === true;
  };
  return { key, human, isInterpreted: true, holds };
}

/** Reports the invariants that don't hold for an element of the given FHIR type. */
export function checkInvariants(value: Json, type: string, invariants: Invariant[], path: string, run: Run): void {
  for (const invariant of invariants) {
    if (invariant.isInterpreted && ++run.evaluations > maxEvaluations)
      stop(run, 'too-costly', path, 'Too many invariants to evaluate');
    if (!isHeld(invariant, value, type, run)) report(run, 'invariant', path, `${invariant.key}: ${invariant.human}`);
  }
}

/** What can't be evaluated does not hold. */
function isHeld(invariant: Invariant, value: Json, type: string, run: Run): boolean {
  try {
    return invariant.holds(value, type, run);
  } catch {
    return false;
  }
}

function variables({ resource, rootResource }: InvariantContext) {
  return {
    '%resource': { type: String(resource['resourceType']), value: resource },
    '%rootResource': { type: String(rootResource['resourceType']), value: rootResource },
    '%ucum': { type: 'string', value: 'http://unitsofmeasure.org' },
  };
}
