/** How a score went over time: pure, from the Observations that a search has shown to the caller. */
import { systems } from '../../fhir-profiles/codes.js';
import { codeIn } from '../store/fhir-elements.js';
import type { FhirResource } from '../store/search-keys.js';

/** One sample, or one study: the score that stands for it. */
export interface CoursePoint {
  observation: string;
  /** FHIR dateTime of the sample or study. */
  effective: string;
  value: number;
  /** `preliminary` until a physician has decided. */
  status: string;
  /** Title and version of the model, in its own words. */
  method: string;
  /** Scores of another Device, that is of another version, are not to be compared. */
  device: string;
  threshold?: number;
}

const VOID = new Set(['entered-in-error', 'cancelled', 'unknown']);

/** The points in the order of time. Of several scores about the same moment the one that was issued last stands; what was rejected does not. */
export function courseOf(observations: readonly FhirResource[]): CoursePoint[] {
  const standing = new Map<string, FhirResource>();
  for (const observation of observations) {
    const known = standing.get(observation.effectiveDateTime);
    if (VOID.has(observation.status) || typeof observation.valueQuantity?.value !== 'number') continue;
    if (!known || Date.parse(known.issued) <= Date.parse(observation.issued))
      standing.set(observation.effectiveDateTime, observation);
  }
  return [...standing.values()].map(toPoint).sort((a, b) => Date.parse(a.effective) - Date.parse(b.effective));
}

function toPoint(observation: FhirResource): CoursePoint {
  const threshold = (observation.component ?? []).find((c: FhirResource) => codeIn(c.code, systems.modelOutput) === 'threshold')
    ?.valueQuantity?.value;
  return {
    observation: `Observation/${observation.id}`,
    effective: observation.effectiveDateTime,
    value: observation.valueQuantity.value,
    status: observation.status,
    method: observation.method?.text ?? '',
    device: observation.device?.reference ?? '',
    ...(typeof threshold === 'number' ? { threshold } : {}),
  };
}
