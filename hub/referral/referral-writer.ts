import type { Caller } from '../access/caller.js';
import { agentOf, type ResourceWriter, type WriteRequest } from '../access/write-request.js';
import { refused } from '../access/write-rules.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { conflict, forbidden } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { databaseNow } from '../store/now.js';
import { idOf } from '../store/fhir-elements.js';
import { createResources, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { endGrants, type Grant, mintGrants } from './grants.js';
import { enqueue } from '../store/outbox.js';
import { assertOnlyStateChanges, businessStatus, restrictionOf, stateOf } from './task.js';
import {
  allowedTransitions,
  isLive,
  type Party,
  type ReferralKind,
  type State,
  TASK_STATUS,
  type Transition,
  transitionTo,
} from './transitions.js';

export type Task = FhirResource & { id: string };

/** What is particular to one kind of referral; the states and their side effects are the same for all. */
export interface Referral {
  kind: ReferralKind;
  /** Checks what is asked for, in the caller's right. Returns the Task as it is placed. */
  place(tx: Queryable, request: WriteRequest): Promise<FhirResource>;
  /** In whose name the caller may act on the Task. */
  parties(task: FhirResource, caller: Caller): Party[];
  /** Elements that this step may change beside state, note, output and reason; checks them. */
  step(tx: Queryable, before: Task, after: Task, transition: Transition | undefined): Promise<readonly string[]>;
  /** What the acceptance opens. */
  grants(tx: Queryable, task: Task, caller: Caller): Promise<Grant[]>;
}

/** Writer for Tasks of one kind: create places the request, update makes one step of the table of transitions. */
export function referralWriter(referral: Referral, audit: Audit): ResourceWriter {
  return {
    create: async (tx, requests) => {
      const rows: ResourceRow[] = [];
      for (const request of requests) rows.push(await place(tx, referral, audit, request));
      return rows;
    },
    update: (tx, request) => advance(tx, referral, audit, request),
  };
}

async function place(tx: Queryable, referral: Referral, audit: Audit, request: WriteRequest): Promise<ResourceRow> {
  const { caller, resource } = request;
  if (idOf(resource.requester, 'Organization') !== caller.organizationId)
    throw forbidden('A request is placed in the name of one’s own organization: Task.requester.');
  const state = stateOf(resource);
  if (state !== 'draft' && state !== 'requested') throw conflict('A new Task is draft or requested.', 'Task.businessStatus');
  const now = await databaseNow(tx);
  const checked = await referral.place(tx, { ...request, resource: { ...resource, restriction: restrictionOf(resource, now) } });
  const placed = { ...checked, ...inState(state), authoredOn: now.toISOString(), lastModified: now.toISOString() };
  const [row] = await createResources(tx, [{ resource: placed, custodianId: caller.organizationId }]);
  if (!row) throw new Error('the Task was not stored');
  await tell(tx, audit, referral.kind, row, state === 'requested' ? 'submit' : 'draft', agentOf(caller, request.context));
  return row;
}

async function advance(
  tx: Queryable,
  referral: Referral,
  audit: Audit,
  request: WriteRequest & { current: ResourceRow },
): Promise<ResourceRow> {
  const { caller, context, current } = request;
  const before = toResource(current);
  const after = { ...request.resource, id: before.id };
  const parties = referral.parties(before, caller);
  if (parties.length === 0) throw forbidden('The caller is not one who may act on this Task.');
  const transition = transitionAsked(referral.kind, before, after, parties);
  assertOnlyStateChanges(before, after, await referral.step(tx, before, after, transition));
  const next = {
    ...after,
    meta: before.meta,
    ...inState(transition?.to ?? stateOf(before)!),
    lastModified: (await databaseNow(tx)).toISOString(),
  };
  const row = await updateResource(tx, { resource: next, custodianId: current.custodian_id }, current.version);
  if (!transition) return row;
  const agent = agentOf(caller, context);
  await settleGrants(tx, audit, row, stateOf(before)!, transition, agent, () => referral.grants(tx, next, caller));
  await tell(tx, audit, referral.kind, row, transition.event, agent);
  return row;
}

/**
 * Which step an update asks for: by the change of businessStatus, else by the change of status.
 * @throws Refusal 409 with what is allowed, when the table has no such step.
 */
function transitionAsked(kind: ReferralKind, before: Task, after: Task, parties: Party[]): Transition | undefined {
  const from = stateOf(before)!;
  const asked = after.businessStatus === undefined ? from : stateOf(after);
  if (!asked) throw refused('Unknown business status.', 'Task.businessStatus');
  const allowed = allowedTransitions(kind, from, parties);
  if (asked !== from) {
    if (after.status !== before.status && after.status !== TASK_STATUS[asked])
      throw refused(`The status of ${asked} is ${TASK_STATUS[asked]}.`, 'Task.status');
    return transitionTo(kind, from, asked, parties) ?? notAllowed(from, asked, allowed);
  }
  if (after.status === before.status) return undefined;
  const meant = allowed.filter((t) => TASK_STATUS[t.to] === after.status);
  return meant.length === 1 ? meant[0] : notAllowed(from, after.status, allowed);
}

function notAllowed(from: State, asked: string, allowed: readonly Transition[]): never {
  const choices = [...new Set(allowed.map((t) => t.to))].join(', ') || 'nothing';
  throw conflict(`A Task that is ${from} does not become ${asked} by this caller. Allowed: ${choices}.`, 'Task.businessStatus');
}

const inState = (state: State) => ({ businessStatus: businessStatus(state), status: TASK_STATUS[state] });

export type Agent = ReturnType<typeof agentOf>;

/** The grant lives with the Task: minted as it becomes live, ended in the same transaction as it ceases to be. */
export async function settleGrants(
  tx: Queryable,
  audit: Audit,
  task: ResourceRow,
  from: State,
  transition: Transition,
  agent: Agent,
  mint: () => Promise<Grant[]>,
): Promise<void> {
  if (isLive(from) === isLive(transition.to)) return;
  if (isLive(from)) {
    await endGrants(tx, task.id, transition.event);
    await audit.append(tx, [
      { ...entryOf(task, agent), type: 'access', subtype: 'grant-end', action: 'U', detail: transition.event },
    ]);
    return;
  }
  const grants = await mint();
  await mintGrants(tx, grants);
  await audit.append(
    tx,
    grants.map((g) => ({
      ...entryOf(task, agent),
      type: 'access' as const,
      subtype: 'grant',
      action: 'C' as const,
      patientId: g.patientId,
      custodianId: g.custodianId,
      entity: [`Task/${task.id}`, ...g.resources],
      evidence: { recipient: g.recipientId, until: g.validUntil.toISOString() },
    })),
  );
}

/** Records the step and puts a notice for each party into the outbox. */
export async function tell(
  tx: Queryable,
  audit: Audit,
  kind: ReferralKind,
  task: ResourceRow,
  event: string,
  agent: Agent,
): Promise<void> {
  await audit.append(tx, [{ ...entryOf(task, agent), type: 'referral', subtype: event, action: 'E' }]);
  for (const organizationId of task.parties.filter((p) => p !== agent.organizationId))
    await enqueue(tx, {
      topic: `referral.${event}`,
      organizationId,
      payload: { task: `Task/${task.id}`, kind, version: task.version },
    });
}

function entryOf(task: ResourceRow, agent: Agent): Omit<AuditEntry, 'type' | 'subtype' | 'action'> {
  return { ...agent, outcome: 0, patientId: task.patient_id, custodianId: task.custodian_id, entity: [`Task/${task.id}`] };
}
