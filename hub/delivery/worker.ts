import type { Logger } from 'pino';
import type { Connector } from '../../connectors/connector.js';
import { SourceError } from '../../connectors/connector.js';
import type { Decision } from '../access/decision.js';
import { decidedBy } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import { Revoked } from '../imaging/while-allowed.js';
import { beginTask, failTask, inState, lockTask, moveTask } from '../jobs/task-state.js';
import { type Claim, startWorkers, type Workers, type WorkerSettings } from '../jobs/workers.js';
import { type ResourceRow, toResource } from '../store/resources.js';
import { forgetCopy } from './copies.sql.js';
import { type DeliverDeps, deliverStudy, Lost } from './deliver-study.js';
import { disclosureOf, entryOf } from './entry.js';
import { countInstances, failedInstances, pendingInstances } from './instances.sql.js';
import { permissionNow } from './permission.js';
import { type Plan, planDelivery } from './plan.js';
import { deliveryQueue, type DeliveryJob } from './queue.sql.js';
import { progress, withOutputs } from './task-details.js';

export interface DeliveryDeps extends Omit<DeliverDeps, 'onProgress'>, WorkerSettings {
  audit: Audit;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Seconds before the first second try; the next waits twice as long, up to five minutes. Default 5. */
  retrySeconds?: number;
}

type DeliveryClaim = Claim<DeliveryJob>;
type Archive = Connector & Required<Pick<Connector, 'store'>>;

/** Starts workers that deliver. Any number of processes may run them beside each other. */
export function startDeliveryWorkers(deps: DeliveryDeps): Workers {
  return startWorkers<DeliveryJob>({
    ...deps,
    name: 'delivery',
    queue: deliveryQueue,
    begin: (tx, job) => beginTask(tx, job.task_id),
    perform: (claim) => perform(deps, claim),
  });
}

async function perform(deps: DeliveryDeps, claim: DeliveryClaim): Promise<void> {
  const { job, owner, signal } = claim;
  const before = await countInstances(deps.db, job.task_id);
  try {
    const outcome = await attempt(deps, claim);
    if (outcome === 'refused') return;
    await settle(deps, claim, before.delivered);
  } catch (error) {
    if (signal.aborted || error instanceof Lost) {
      await deliveryQueue.requeue(deps.db, job.task_id, owner, 0, 'The worker stopped.', true);
      return reporter(deps, claim)('last');
    }
    if (error instanceof Revoked) return refuse(deps, claim);
    if (!(error instanceof SourceError)) throw error;
    await retryLater(deps, claim, error, before.delivered);
  }
}

/** Nothing is read, and nothing is on record as disclosed, before the recipient's archive answers. */
async function attempt(deps: DeliveryDeps, claim: DeliveryClaim): Promise<'refused' | 'went through'> {
  const { job, signal } = claim;
  const target = await answeringArchive(deps, job.connector_id, signal);
  if (!target) {
    await end(deps, claim, 'The archive of the recipient can not be asked to keep objects.');
    return 'refused';
  }
  const since = Date.now();
  const permission = await permissionNow(deps, job);
  if (!permission.allowed) {
    await refuse(deps, claim, permission.why, permission.decision);
    return 'refused';
  }
  const plan = await deps.db.transaction((tx) => planDelivery(tx, job, permission));
  if ('why' in plan) {
    await end(deps, claim, plan.why);
    return 'refused';
  }
  const pending = await pendingInstances(deps.db, job.task_id, permission.series);
  if (pending.length === 0) return 'went through';
  await deps.audit.commit([disclosureOf(job.task_id, job, permission.study.decision, plan.allowedUntil)]);
  const report = reporter(deps, claim);
  await report(plan);
  await deliverStudy({ ...deps, onProgress: report }, claim, target, { ...plan, pending }, { ...plan, since });
  return 'went through';
}

/** Undefined for an archive of a kind that takes nothing. @throws SourceError for one that does not answer. */
async function answeringArchive({ connectorFor }: DeliveryDeps, id: string, signal: AbortSignal): Promise<Archive | undefined> {
  const connector = connectorFor(id);
  if (!connector) throw new SourceError('unreachable', 'The archive is not connected.');
  if (!connector.store) return undefined;
  const { reachable } = await connector.health(signal);
  if (!reachable) throw new SourceError('unreachable', 'The archive does not answer.');
  return connector as Archive;
}

/** Milliseconds between two versions of a Task that say how far it is. */
const REPORT_MS = 2_000;

/** Writes progress into the Task, not more often than every other second; at the beginning, with what allows it, and at the end at once. */
function reporter(deps: DeliveryDeps, { job }: DeliveryClaim): (now?: Plan | 'last') => Promise<void> {
  let last = Date.now();
  return async (now) => {
    if (!now && Date.now() - last < REPORT_MS) return;
    last = Date.now();
    const counts = await countInstances(deps.db, job.task_id);
    const plan = now === 'last' ? undefined : now;
    const until = plan?.allowedUntil
      ? [{ code: 'copy-allowed-until' as const, valueDateTime: plan.allowedUntil.toISOString() }]
      : [];
    await deps.db.transaction(async (tx) => {
      const task = await lockTask(tx, job.task_id);
      if (!task || (toResource(task).status !== 'in-progress' && now !== 'last')) return;
      await moveTask(tx, task, { output: withOutputs(toResource(task), [...progress(counts), ...until]) });
    });
  };
}

/** After all that was pending was tried: over, or once more for what may pass. */
async function settle(deps: DeliveryDeps, claim: DeliveryClaim, deliveredBefore: number): Promise<void> {
  const { job, owner } = claim;
  const counts = await countInstances(deps.db, job.task_id);
  if (counts.pending > 0)
    return retryLater(deps, claim, new SourceError('bad-response', 'Some objects were not taken.'), deliveredBefore);
  if (counts.failed > 0) return end(deps, claim, `${counts.failed} of ${counts.total} objects could not be delivered.`);
  const done = await deps.db.transaction(async (tx) => {
    if (!(await deliveryQueue.finish(tx, job.task_id, owner, 'done'))) return false;
    const task = await lockTask(tx, job.task_id);
    if (!task) throw new Error('a job without a Task');
    const output = withOutputs(toResource(task), progress(counts), ['failed-instance']);
    await moveTask(tx, task, { status: 'completed', businessStatus: inState('completed'), statusReason: undefined, output });
    await deps.audit.append(tx, [
      { ...entryOf(job.task_id, job), subtype: 'delivered', action: 'C', outcome: 0, detail: `${counts.delivered} objects` },
    ]);
    return true;
  });
  deps.log.info({ task: job.task_id, instances: counts.total, done }, 'delivered');
}

const LONGEST_SECONDS = 300;
const HOUR = 3_600_000;

/** An archive that does not answer is asked again for hours; one that answers, and takes less than all, three times an object. */
async function retryLater(
  deps: DeliveryDeps,
  claim: DeliveryClaim,
  { code, message }: SourceError,
  before: number,
): Promise<void> {
  const { job, owner } = claim;
  deps.log.warn({ task: job.task_id, code, attempt: job.attempts }, 'not delivered yet');
  if (Date.now() - job.created.getTime() > deps.config.deliveryHours * HOUR)
    return end(deps, claim, `It was tried for ${deps.config.deliveryHours} hours. ${message}`);
  const { delivered } = await countInstances(deps.db, job.task_id);
  const attempts = delivered > before ? 1 : job.attempts;
  const seconds = Math.min(LONGEST_SECONDS, (deps.retrySeconds ?? 5) * 2 ** Math.min(attempts - 1, 10));
  await deliveryQueue.requeue(deps.db, job.task_id, owner, seconds, `${code}: ${message}`, delivered > before);
  if (delivered > before) await reporter(deps, claim)('last');
}

/** Sentences for reason classes that are no denial of the policy. */
const WHY: Readonly<Record<string, string>> = {
  account: 'Whoever asked for it may no longer act for the hospital.',
  identity: 'The study is no longer known to be of the patient that it would be filed under.',
  withdrawn: 'The study is no longer indexed.',
};

/** The policy does not, or no longer, let it go: what is out stays out, and is on record; nothing more leaves. */
async function refuse(deps: DeliveryDeps, claim: DeliveryClaim, why?: string, decision?: Decision): Promise<void> {
  const now = why === undefined ? await permissionNow(deps, claim.job) : undefined;
  const [reason, decided] = now && !now.allowed ? [now.why, now.decision] : [why ?? 'in-part', decision];
  await end(deps, claim, WHY[reason] ?? `The study may not be retrieved by you (${reason}).`, {
    subtype: 'deliver',
    action: 'R',
    outcome: 4,
    detail: reason,
    ...(decided ? decidedBy(decided) : {}),
  });
}

const MOST_FAILURES = 20;

/** The dead letter: the Task says why, with what arrived and what did not. */
async function end(
  deps: DeliveryDeps,
  claim: DeliveryClaim,
  reason: string,
  entry: object = { subtype: 'deliver', action: 'R', outcome: 8, detail: 'failed' },
): Promise<void> {
  const { job } = claim;
  await deps.db.transaction(async (tx) => {
    const outputs = [
      ...progress(await countInstances(tx, job.task_id)),
      ...(await failedInstances(tx, job.task_id, MOST_FAILURES)).map(({ uid, detail }) => ({
        code: 'failed-instance' as const,
        valueString: `${uid}: ${detail ?? ''}`.trim(),
      })),
    ];
    const more = (task: ResourceRow) => ({ output: withOutputs(toResource(task), outputs) });
    if (!(await failTask(tx, deliveryQueue, claim, reason, more))) return;
    await forgetCopy(tx, job.task_id);
    await deps.audit.append(tx, [{ ...entryOf(job.task_id, job), ...(entry as { subtype: string; action: 'R'; outcome: 4 }) }]);
  });
}
