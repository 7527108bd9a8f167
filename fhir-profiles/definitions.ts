/**
 * The FHIR R4 definitions that validation is compiled from. They are written by the build (prune-definitions.ts) and read
 * once, when first asked for.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** What is kept of an ElementDefinition. */
export interface PrunedElement {
  /** For example `ImagingStudy.series.uid`; choice elements end in `[x]`. */
  path: string;
  min: number;
  /** Part of a summary (ElementDefinition.isSummary). */
  summary?: true;
  /** A number or `*`. */
  max: string;
  /** True when it is an array in JSON (its base may repeat). */
  array?: boolean;
  /** `targets`: the resource types that a Reference may name; absent when any. */
  types?: { code: string; targets?: string[] }[];
  /** The path whose children it shares, for example `Consent.provision`. */
  contentReference?: string;
  /** Canonical URL of the value set of a required binding. */
  binding?: string;
  /** Invariants of severity error. */
  constraints?: { key: string; expression: string; human: string }[];
}

/** What is kept of a StructureDefinition; the elements are those of its snapshot, primitive types have none. */
export interface PrunedType {
  name: string;
  kind: string;
  elements: PrunedElement[];
}

export interface Definitions {
  types: PrunedType[];
  /** Codes of each value set with a required binding; absent codes mean that it can't be enumerated. */
  valueSets: Record<string, string[] | undefined>;
}

let loaded: Definitions | undefined;

/**
 * The pruned definitions, loaded once.
 * @throws when the build did not write them.
 */
export function definitions(): Definitions {
  loaded ??= JSON.parse(gunzipSync(readFileSync(new URL('./definitions.json.gz', import.meta.url))).toString()) as Definitions;
  return loaded;
}
