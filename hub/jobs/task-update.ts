import { systems } from '../../fhir-profiles/codes.js';
import type { WriteRequest } from '../access/write-request.js';
import { assertOnlyChanges } from '../access/write-rules.js';
import { conflict, forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { codeIn } from '../store/fhir-elements.js';
import { type ResourceRow, toResource, updateResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { inState } from './task-state.js';

/** What a party may ask of a Task that a queue works on, by its status: the hub alone begins, completes and fails. */
export type TaskSteps = Readonly<Record<string, readonly string[]>>;

/**
 * An update by a party: one of the steps, or a note more.
 * @param what the kind of Task, in words.
 * @returns the stored row, and the step that was asked for. @throws Refusal 403, 409 for any other change of state, 422 for any other change.
 */
export async function updateTask(
  tx: Queryable,
  { caller, current, resource }: WriteRequest & { current: ResourceRow },
  what: string,
  steps: TaskSteps,
): Promise<{ row: ResourceRow; step: string | undefined }> {
  const before = toResource(current);
  if (!current.parties.includes(caller.organizationId)) throw forbidden('The caller is not a party to this Task.');
  assertOnlyChanges(before, resource, {
    free: ['status', 'businessStatus', 'statusReason', 'lastModified'],
    growing: ['note'],
  });
  const step = stepAsked(before, resource, what, steps);
  const again = step === 'requested' ? { statusReason: undefined } : {};
  const state = step === undefined ? kept(before) : { ...again, status: step, businessStatus: inState(step) };
  const next = { ...resource, meta: before.meta, ...state, id: before.id, lastModified: new Date().toISOString() };
  const row = await updateResource(
    tx,
    { resource: next, custodianId: current.custodian_id, parties: current.parties },
    current.version,
  );
  return { row, step };
}

const kept = ({ status, businessStatus, statusReason }: FhirResource) => ({ status, businessStatus, statusReason });

function stepAsked(before: FhirResource, after: FhirResource, what: string, steps: TaskSteps): string | undefined {
  const code = (task: FhirResource) => codeIn(task.businessStatus, systems.businessStatus);
  const asked = after.status !== before.status ? after.status : code(after) !== code(before) ? code(after) : undefined;
  if (asked === undefined) return undefined;
  const allowed = Object.hasOwn(steps, before.status) ? (steps[before.status] ?? []) : [];
  if (allowed.includes(asked)) return asked;
  throw conflict(
    `A ${what} that is ${before.status} does not become ${asked}. Allowed: ${allowed.join(', ') || 'nothing'}.`,
    'Task.status',
  );
}
