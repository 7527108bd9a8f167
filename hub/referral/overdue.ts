import { systems } from '../../fhir-profiles/codes.js';
import type { Audit } from '../audit/vocabulary.js';
import { lockTask } from '../jobs/task-state.js';
import type { Database, Queryable } from '../store/database.js';
import { databaseNow } from '../store/now.js';
import { columns, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { tokenKey } from '../store/tokens.js';
import { sql } from '../store/sql.js';
import { findUnfoundedReleases } from './grants.js';
import { type Agent, settleGrants, tell } from './referral-writer.js';
import { businessStatus, deadlineOf, stateOf, taskKind } from './task.js';
import { allowedTransitions, type ReferralKind, STATES, type State, TASK_STATUS, transitionTo } from './transitions.js';

const HUB: Agent = { agent: 'Device/hub', agentName: 'hub', requestId: 'hub' } as Agent;
const PAGE = 200;

/** Closes the referrals whose deadline has passed: nobody attended to them. Resolves with how many. Safe to run in many processes at once. */
export async function closeOverdue(db: Database, audit: Audit, at?: Date): Promise<number> {
  const now = at ?? (await databaseNow(db));
  let closed = 0;
  let after = '';
  for (;;) {
    const page = await openTasks(db, after);
    for (const row of page) if (isOverdue(row, now) && (await db.transaction((tx) => close(tx, audit, row.id, now)))) closed++;
    if (page.length < PAGE) return closed;
    after = page.at(-1)!.id;
  }
}

/** After patients were unlinked: gives back the releases that rested on the link. To be called in the transaction of the unlink. */
export function createGrantReevaluation(audit: Audit): (tx: Queryable, patientIds: readonly string[]) => Promise<void> {
  return async (tx, patientIds) => {
    for (const taskId of await findUnfoundedReleases(tx, patientIds)) {
      const row = await lockTask(tx, taskId);
      if (row) await moveByHub(tx, audit, row, 'returned', 'The patients of the two hospitals are no longer linked.');
    }
  };
}

const OPEN_STATES = STATES.filter((s) => allowedTransitions('consultation-request', s, ['hub']).length > 0);
const OPEN_TOKENS = OPEN_STATES.map((s) => tokenKey(`business-status=${systems.businessStatus}|${s}`));

function openTasks(db: Queryable, after: string): Promise<ResourceRow[]> {
  return db.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type = 'Task' and not r.deleted and r.tokens && ${OPEN_TOKENS}::text[] and r.id > ${after} order by r.id limit ${PAGE}`);
}

function isOverdue(row: ResourceRow, now: Date): boolean {
  const deadline = deadlineOf(toResource(row));
  return deadline !== undefined && deadline <= now;
}

async function close(tx: Queryable, audit: Audit, taskId: string, now: Date): Promise<boolean> {
  const row = await lockTask(tx, taskId);
  if (!row || !isOverdue(row, now)) return false;
  const to = stateOf(toResource(row)) === 'cancellation-requested' ? 'cancelled' : 'unattended';
  return moveByHub(tx, audit, row, to, 'The deadline has passed.');
}

/** One step in the hub's own name, by the same table; false when the table has none. */
async function moveByHub(tx: Queryable, audit: Audit, row: ResourceRow, to: State, reason: string): Promise<boolean> {
  const task = toResource(row);
  const kind = taskKind(task) as ReferralKind;
  const from = stateOf(task);
  const transition = from && transitionTo(kind, from, to, ['hub']);
  if (!transition) return false;
  const next = {
    ...task,
    businessStatus: businessStatus(to),
    status: TASK_STATUS[to],
    statusReason: { text: reason },
    lastModified: (await databaseNow(tx)).toISOString(),
  };
  const moved = await updateResource(tx, { resource: next, custodianId: row.custodian_id }, row.version);
  await settleGrants(tx, audit, moved, from, transition, HUB, async () => []);
  await tell(tx, audit, kind, moved, transition.event, HUB);
  return true;
}
