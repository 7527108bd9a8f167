import { systems } from '../../fhir-profiles/codes.js';
import { assertOnlyChanges, refused } from '../access/write-rules.js';
import { dateRange } from '../store/fhir-date.js';
import { codeIn, idOf, type Reference } from '../store/fhir-elements.js';
import type { FhirResource } from '../store/search-keys.js';
import { isState, type State } from './transitions.js';

export const taskKind = (task: FhirResource): string | undefined => codeIn(task.code, systems.taskKind);

/** Task.businessStatus; where a client gives none, Task.status says as much. */
export function stateOf(task: FhirResource): State | undefined {
  const code = codeIn(task.businessStatus, systems.businessStatus) ?? task.status;
  return isState(code) ? code : undefined;
}

export const businessStatus = (state: State) => ({ coding: [{ system: systems.businessStatus, code: state }] });

/** Ids of the studies in Task.input. @throws Refusal 422 for an input that refers to anything else: it would not be released. */
export function attachedStudies(task: FhirResource): string[] {
  const references = (task.input ?? []).flatMap((i: { valueReference?: Reference }) => i.valueReference ?? []) as Reference[];
  const ids = references.map((reference) => {
    const id = idOf(reference, 'ImagingStudy');
    if (!id) throw refused('Only an ImagingStudy can be attached.', 'Task.input');
    return id;
  });
  if (ids.length > MAX_STUDIES) throw refused(`At most ${MAX_STUDIES} studies can be attached.`, 'Task.input');
  return [...new Set(ids)];
}

const MAX_STUDIES = 50;

/** Days until an unstated deadline, and the furthest that one may be stated. */
const DEFAULT_DAYS = 30;
const LONGEST_DAYS = 366;
const DAY = 86_400_000;

/** The instant at which a Task is over: exclusive end of Task.restriction.period. */
export const deadlineOf = (task: FhirResource): Date | undefined => dateRange(task.restriction?.period)?.until;

/** Task.restriction with an end: the one given, or the default. @throws Refusal 422 for one that is past, too far, or no date. */
export function restrictionOf(task: FhirResource, now: Date): object {
  const given = task.restriction?.period?.end;
  const end = given === undefined ? new Date(now.getTime() + DEFAULT_DAYS * DAY).toISOString() : given;
  const until = dateRange(end)?.until;
  if (!until || until <= now || until.getTime() > now.getTime() + LONGEST_DAYS * DAY)
    throw refused(`The deadline lies ahead, at most ${LONGEST_DAYS} days.`, 'Task.restriction.period.end');
  return { ...task.restriction, period: { ...task.restriction?.period, end } };
}

/** Only state, note, output and reason may change; notes and outputs are added to, never taken away. */
export function assertOnlyStateChanges(before: FhirResource, after: FhirResource, alsoFree: readonly string[] = []): void {
  const free = ['status', 'businessStatus', 'statusReason', 'lastModified', ...alsoFree];
  assertOnlyChanges(before, after, { free, growing: ['note', 'output'] });
}
