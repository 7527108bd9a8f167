/**
 * Validates FHIR R4 resources in their JSON form (https://hl7.org/fhir/R4/json.html, validation.html): structure, cardinality,
 * types, formats, required bindings, invariants, and the hub's own profiles. What it returns is for the client: it names
 * elements, never their content.
 */
import { type Issue, type Run, Stopped, type ValidationOptions } from './run.js';
import { checkResource } from './structure.js';

export type { Issue, ValidationOptions };

/**
 * Validates one resource against FHIR R4 and the hub's profiles.
 * @param resource any JSON value; properties that are undefined count as absent.
 * @returns what is wrong, at most `maxIssues`; empty when valid. Never throws on a JSON value.
 */
export function validateResource(resource: unknown, options: ValidationOptions = {}): Issue[] {
  const run: Run = { issues: [], values: 0, evaluations: 0, options, resource: {}, rootResource: {} };
  try {
    checkResource(resource, '', run, 1, false);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  return run.issues;
}
