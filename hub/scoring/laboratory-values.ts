import { createHash } from 'node:crypto';
import { systems } from '../../fhir-profiles/codes.js';
import type { Manifest } from '../../models/manifest.js';
import type { ObservedValue } from '../../models/pipeline.js';
import { canonical } from '../store/canonical-json.js';
import type { Queryable } from '../store/database.js';
import { type Concept, idOf, type Reference } from '../store/fhir-elements.js';
import { columns, type ResourceRow, toResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';

/** More results than any panel of the laboratory has are not scored. */
export const MOST_RESULTS = 1000;

/** Ids of the Observations that a laboratory's report holds (DiagnosticReport.result). */
export const resultsOfReport = (report: FhirResource): string[] =>
  ((report.result ?? []) as Reference[]).slice(0, MOST_RESULTS).flatMap((result) => idOf(result, 'Observation') ?? []);

/** The Observations as they are now, each with what else the statement asks for. Those that are gone are left out. */
export const findObservations = (tx: Queryable, ids: readonly string[]): Promise<ResourceRow[]> =>
  tx.query<ResourceRow & Record<string, unknown>>(
    sql`select ${columns} from resource r where r.type = 'Observation' and r.id = any(${ids}::text[]) and not r.deleted order by r.id`,
  );

/** Observation.status (R4) of a value that stands. */
const STANDS = new Set(['preliminary', 'final', 'amended', 'corrected']);

/** The laboratory values of Observations. What is no exact number (below a limit of detection, absent with a reason, withdrawn, without a time) counts as missing. */
export function laboratoryValues(rows: readonly ResourceRow[]): ObservedValue[] {
  return rows.flatMap((row) => {
    const observation = toResource(row);
    const { value, comparator, system, code, unit } = observation.valueQuantity ?? {};
    const effective = observation.effectiveDateTime ?? observation.effectiveInstant ?? observation.effectivePeriod?.start;
    if (typeof value !== 'number' || !Number.isFinite(value) || comparator || !effective || !STANDS.has(observation.status))
      return [];
    const { coding = [] } = (observation.code ?? {}) as Concept;
    return [
      {
        observationId: row.id,
        sha256: createHash('sha256').update(canonical(observation)).digest('hex'),
        codings: coding.flatMap((c) => (c.system && c.code ? [{ system: c.system, code: c.code }] : [])),
        value,
        unit: system === systems.ucum && code ? code : (unit ?? '1'),
        effective,
      },
    ];
  });
}

/** When the sample was taken: the latest of the values that a model may use; undefined where there is none. */
export function sampledAt(values: readonly ObservedValue[], { accepts }: Manifest): string | undefined {
  const wanted = new Set((accepts.observations?.codes ?? []).map(({ system, code }) => `${system}|${code}`));
  return values
    .filter(({ codings }) => codings.some(({ system, code }) => wanted.has(`${system}|${code}`)))
    .map(({ effective }) => effective)
    .sort((a, b) => Date.parse(a) - Date.parse(b))
    .at(-1);
}

/** How many of a model's laboratory values are there. */
export function valuesThere(values: readonly ObservedValue[], { accepts }: Manifest): number {
  const codes = accepts.observations?.codes ?? [];
  return codes.filter(({ system, code }) => values.some((v) => v.codings.some((c) => c.system === system && c.code === code)))
    .length;
}
