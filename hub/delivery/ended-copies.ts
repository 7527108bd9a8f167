import { mapConcurrently } from '../../connectors/map-concurrently.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { lockTask, moveTask } from '../jobs/task-state.js';
import type { Queryable } from '../store/database.js';
import { enqueue } from '../store/outbox.js';
import { toResource } from '../store/resources.js';
import { basisEnd } from './basis-end.sql.js';
import { type Copy, copiesToCheck, dueBefore, endCopy, prolongCopy } from './copies.sql.js';
import { copyPermission, type PermissionDeps } from './permission.js';
import { withOutputs } from './task-details.js';

export interface CopiesDeps extends Pick<PermissionDeps, 'db' | 'access'> {
  audit: Audit;
}

/** Copies that are taken at once, and that are looked at beside each other. */
const TOGETHER = 500;
const AT_ONCE = 4;

/**
 * Looks at copies that were delivered. A copy can't be called back: where nothing allows it any more (a grant, an agreement or a consent has ended, the
 * patients are no longer linked, the study was withdrawn), its hospital is told that it is to be removed, and the Task says since when.
 * All that are due are looked at, once, batch by batch.
 * @param seconds since the last look at a copy.
 * @returns how many have ended. Safe to run in many processes at once.
 */
export async function endCopies(deps: CopiesDeps, seconds: number, together = TOGETHER): Promise<number> {
  const due = await dueBefore(deps.db, seconds);
  let ended = 0;
  const look = async (copy: Copy): Promise<void> => {
    const why = await whyEnded(deps, copy);
    if (why !== undefined && (await deps.db.transaction((tx) => end(tx, deps.audit, copy, why)))) ended += 1;
  };
  for (;;) {
    const copies = await deps.db.transaction((tx) => copiesToCheck(tx, due, together));
    await mapConcurrently(copies, AT_ONCE, look);
    if (copies.length < together) return ended;
  }
}

/** Reason class; undefined while it is allowed, by whatever basis. */
async function whyEnded(deps: CopiesDeps, copy: Copy): Promise<string | undefined> {
  const now = await copyPermission(deps, copy);
  if (!now.allowed) return now.why;
  if (!copy.series.every((uid) => now.series.includes(uid))) return 'in-part';
  const between = { custodianId: copy.custodian_id, recipientId: copy.recipient_id };
  await prolongCopy(deps.db, copy.task_id, await basisEnd(deps.db, now.study.decision.evidence, between));
  return undefined;
}

async function end(tx: Queryable, audit: Audit, copy: Copy, why: string): Promise<boolean> {
  if (!(await endCopy(tx, copy.task_id, why))) return false;
  const since = new Date().toISOString();
  const task = await lockTask(tx, copy.task_id);
  if (task)
    await moveTask(tx, task, { output: withOutputs(toResource(task), [{ code: 'copy-to-be-removed', valueDateTime: since }]) });
  await enqueue(tx, {
    topic: 'delivery.copy-to-be-removed',
    organizationId: copy.recipient_id,
    payload: {
      task: `Task/${copy.task_id}`,
      study: `ImagingStudy/${copy.study_id}`,
      patient: `Patient/${copy.local_patient_id}`,
      reason: why,
      since,
    },
  });
  const entry: AuditEntry = {
    type: 'access',
    subtype: 'copy-to-be-removed',
    action: 'U',
    outcome: 0,
    agent: 'Device/hub',
    agentName: 'hub',
    patientId: copy.patient_id,
    custodianId: copy.custodian_id,
    organizationId: copy.recipient_id,
    entity: [`ImagingStudy/${copy.study_id}`, `Task/${copy.task_id}`],
    detail: why,
    requestId: `Task/${copy.task_id}`,
  };
  await audit.append(tx, [entry]);
  return true;
}
