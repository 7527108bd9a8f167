/** How a score went over time: pure, from the Observations that a search has shown to the caller. */
import { extensions, systems } from '../../fhir-profiles/codes.js';
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
  /** Of this very value. */
  threshold?: number;
}

const VOID = new Set(['entered-in-error', 'cancelled', 'unknown']);

/** What is drawn: the model's main value. */
export interface Charted {
  /** UCUM code. */
  unit: string;
  /** Name of the threshold that it is compared with. */
  threshold?: string | undefined;
}

/**
 * The points in the order of time. Of several scores about the same moment that stands which a physician stands behind, else the one that was issued last; what was
 * rejected or superseded does not, nor what is in another unit.
 */
export function courseOf(observations: readonly FhirResource[], main: Charted): CoursePoint[] {
  const standing = new Map<string, FhirResource>();
  for (const observation of observations) {
    const { valueQuantity, effectiveDateTime: at } = observation;
    if (VOID.has(observation.status) || isSuperseded(observation)) continue;
    if (typeof valueQuantity?.value !== 'number' || valueQuantity.code !== main.unit) continue;
    const known = standing.get(at);
    if (!known || prevails(observation, known)) standing.set(at, observation);
  }
  return [...standing.values()]
    .map((observation) => toPoint(observation, main))
    .sort((a, b) => Date.parse(a.effective) - Date.parse(b.effective));
}

const isSuperseded = ({ extension = [] }: FhirResource): boolean =>
  extension.some(({ url }: { url: string }) => url === extensions.supersededBy);

/** A machine takes no physician's place. */
function prevails(one: FhirResource, other: FhirResource): boolean {
  const [isMachines, isOthers] = [one, other].map(({ status }) => status === 'preliminary');
  return isMachines === isOthers ? Date.parse(one.issued) >= Date.parse(other.issued) : !isMachines;
}

function toPoint(observation: FhirResource, main: Charted): CoursePoint {
  const threshold = (observation.component ?? []).find(
    ({ code }: FhirResource) => codeIn(code, systems.modelOutput) === 'threshold' && code.text === main.threshold,
  )?.valueQuantity?.value;
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
