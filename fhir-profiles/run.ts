/** State of one validation: issues found so far and the bounds that end it. */
import type { OperationOutcomeIssue } from '@medplum/fhirtypes';

export interface Issue {
  /** Every issue refuses the resource; a `fatal` one ended the validation early. */
  severity: 'fatal' | 'error';
  /** FHIR issue-type: `structure`, `required`, `value`, `code-invalid`, `invariant`, `extension`, `too-long`, `too-costly`, `not-supported`. */
  code: OperationOutcomeIssue['code'];
  /** FHIRPath of the element, with indexes: `ImagingStudy.series[0].uid`. */
  expression: string;
  /** One sentence for a person; never the content of the element. */
  diagnostics: string;
}

export interface ValidationOptions {
  /** Leaves the resources in a Bundle's entries to their own validation, as a batch needs. */
  skipEntries?: boolean;
}

/** Issues reported at most; validation ends when they are found. */
export const maxIssues = 50;
/** Objects within objects, the resource counted as one. */
export const maxDepth = 40;
/** JSON values (objects and primitives) in one resource. */
export const maxValues = 500_000;

export type Json = Record<string, unknown>;

/** What an invariant may look at beside its element. */
export interface InvariantContext {
  /** Nearest resource around the element, contained ones included: FHIRPath's %resource. */
  resource: Json;
  /** The resource that contains it, or itself: FHIRPath's %rootResource. */
  rootResource: Json;
  /** Ids of the resources in rootResource.contained, once they were needed. */
  containedIds?: Set<unknown>;
}

export interface Run extends InvariantContext {
  issues: Issue[];
  /** JSON values and FHIRPath evaluations so far. */
  values: number;
  evaluations: number;
  options: ValidationOptions;
}

/** Ends a validation whose issues tell enough. */
export class Stopped extends Error {}

/** Adds an issue. @throws Stopped at the last one that fits. */
export function report(run: Run, code: Issue['code'], expression: string, diagnostics: string): void {
  run.issues.push({ severity: 'error', code, expression, diagnostics });
  if (run.issues.length >= maxIssues) throw new Stopped();
}

/** Adds a fatal issue and ends the validation. */
export function stop(run: Run, code: Issue['code'], expression: string, diagnostics: string): never {
  run.issues.push({ severity: 'fatal', code, expression, diagnostics });
  throw new Stopped();
}

/** Counts one JSON value. @throws Stopped when there are too many. */
export function countValue(run: Run, path: string): void {
  if (++run.values > maxValues) stop(run, 'too-costly', path, `More than ${maxValues} values`);
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
