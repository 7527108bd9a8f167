import { isDeepStrictEqual } from 'node:util';
import { systems } from '../../fhir-profiles/codes.js';
import { type Issue, unprocessable } from '../outcomes.js';
import { dateRange } from '../store/fhir-date.js';
import { type FhirResource, localReference } from '../store/search-keys.js';
import { isState, type State } from './transitions.js';

interface Concept {
  coding?: { system?: string; code?: string }[];
}
interface Reference {
  reference?: string;
}

/** The code of a concept in one system. */
export const codeIn = (concept: Concept | undefined, system: string): string | undefined =>
  concept?.coding?.find((c) => c.system === system)?.code;

/** The id of a local reference to a type: `Organization/x` gives `x`. */
export function idOf(reference: Reference | undefined, type: string): string | undefined {
  const target = localReference(reference?.reference ?? '');
  return target.startsWith(`${type}/`) ? target.slice(type.length + 1) : undefined;
}

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
export function restrictionOf(task: FhirResource, now = new Date()): object {
  const given = task.restriction?.period?.end;
  const end = given === undefined ? new Date(now.getTime() + DEFAULT_DAYS * DAY).toISOString() : given;
  const until = dateRange(end)?.until;
  if (!until || until <= now || until.getTime() > now.getTime() + LONGEST_DAYS * DAY)
    throw refused(`The deadline lies ahead, at most ${LONGEST_DAYS} days.`, 'Task.restriction.period.end');
  return { ...task.restriction, period: { ...task.restriction?.period, end } };
}

/** Elements that the hub keeps itself. */
const HUB_KEPT = new Set(['resourceType', 'id', 'meta', 'lastModified', 'businessStatus', 'status']);

/**
 * Only state, note, output and reason may change; notes and outputs are added to, never taken away.
 * @throws Refusal 422 naming each element that may not change.
 */
export function assertOnlyStateChanges(before: FhirResource, after: FhirResource, alsoFree: readonly string[] = []): void {
  const free = new Set([...HUB_KEPT, 'statusReason', 'note', 'output', ...alsoFree]);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !free.has(name));
  const changed = names.filter((name) => !isDeepStrictEqual(before[name], after[name]));
  const shortened = ['note', 'output'].filter((name) => {
    const kept: unknown[] = before[name] ?? [];
    return !isDeepStrictEqual(kept, (after[name] ?? []).slice(0, kept.length));
  });
  const issues: Issue[] = [
    ...changed.map((name) => issue('This element does not change once the Task is placed.', `Task.${name}`)),
    ...shortened.map((name) => issue('Entries are added at the end, never changed.', `Task.${name}`)),
  ];
  if (issues.length > 0) throw unprocessable(issues);
}

const issue = (diagnostics: string, expression: string): Issue => ({
  severity: 'error',
  code: 'business-rule',
  diagnostics,
  expression: [expression],
});

/** 422 against a business rule, naming the element. */
export const refused = (diagnostics: string, expression: string) => unprocessable([issue(diagnostics, expression)]);

/** 422 for a reference: the same for what does not exist and for what the caller may not know of. */
export const nowhere = (expression: string) =>
  unprocessable([
    {
      severity: 'error',
      code: 'not-found',
      diagnostics: 'The reference points to nothing that you may refer to.',
      expression: [expression],
    },
  ]);
