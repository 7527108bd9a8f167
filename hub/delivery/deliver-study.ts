import type { Connector } from '../../connectors/connector.js';
import type { Config } from '../config.js';
import type { ConnectorFor } from '../imaging/retrieve.js';
import { leaveWhileAllowed } from '../imaging/while-allowed.js';
import type { Claim } from '../jobs/workers.js';
import type { Database } from '../store/database.js';
import { noteCopy } from './copies.sql.js';
import { noteUnanswered, settleInstance } from './instances.sql.js';
import { type NotDelivered, type ObjectsOf, objectsOf } from './objects.js';
import { permissionNow, type PermissionDeps } from './permission.js';
import type { DeliveryJob } from './queue.sql.js';

/** The job is another's by now, or was cancelled. */
export class Lost extends Error {}

export interface DeliverDeps extends PermissionDeps {
  db: Database;
  connectorFor: ConnectorFor;
  config: Pick<Config, 'deliveryHours' | 'deliveryObjectBytes'>;
  /** Called after an object was settled. */
  onProgress(): Promise<void>;
}

/** DIMSE statuses and Failure Reasons of an archive that may take the object another time: out of resources, processing failure. */
const isPassing = (status: number): boolean => (status & 0xff00) === 0xa700 || status === 0x0110;

/**
 * Sends what is pending to the recipient's archive. Each acknowledgement is on record before the next object; before each object the policy is asked
 * again, as often as for a stream of the same bytes.
 * @param allowedUntil when the basis ends by itself. @param since milliseconds of the decision that it began with.
 * @throws Revoked, Lost, or SourceError when one of the two archives does not answer.
 */
export async function deliverStudy(
  deps: DeliverDeps,
  { job, owner, signal }: Claim<DeliveryJob>,
  target: Connector & Required<Pick<Connector, 'store'>>,
  of: ObjectsOf,
  { allowedUntil, since }: { allowedUntil: Date | undefined; since: number },
): Promise<void> {
  const { db } = deps;
  const claim = { taskId: job.task_id, owner };
  /** Series that the recipient may have something of from now on. */
  const begun = new Set<string>();
  /** Left in this attempt, and not answered. */
  const out = new Set<string>();
  let isLost = false;
  const settle = async (outcome: Parameters<typeof settleInstance>[2]): Promise<void> => {
    isLost = !(await settleInstance(db, claim, outcome)) || isLost;
    await deps.onProgress();
  };
  /** What was acknowledged is put on record, also when nothing more is to be sent. */
  const assertHeld = (): void => {
    if (isLost) throw new Lost('the job is another’s, or was cancelled');
    signal.throwIfAborted();
  };
  const leave = leaveWhileAllowed(async () => {
    const now = await permissionNow(deps, job);
    return now.allowed && of.pending.every(({ seriesInstanceUid }) => now.series.includes(seriesInstanceUid));
  }, since);
  const objects = objectsOf(
    {
      ...deps,
      signal,
      mostBytes: deps.config.deliveryObjectBytes,
      assertAllowed: async (bytes) => {
        assertHeld();
        if (leave.isDue(bytes)) await leave.ask(bytes);
      },
      leaves: async ({ seriesInstanceUid, sopInstanceUid }) => {
        if (!begun.has(seriesInstanceUid)) await db.transaction((tx) => noteCopy(tx, job, seriesInstanceUid, allowedUntil));
        begun.add(seriesInstanceUid);
        out.add(sopInstanceUid);
      },
      notDelivered: (failure: NotDelivered) => settle({ ...failure, delivered: false }),
    },
    of,
  );
  try {
    for await (const { sopInstanceUid, stored, status, detail, unanswered } of target.store(objects, signal)) {
      if (!unanswered) out.delete(sopInstanceUid);
      await settle({ sopInstanceUid, delivered: stored, retryable: isPassing(status), ...(detail ? { detail } : {}) });
    }
  } finally {
    if (out.size > 0) await noteUnanswered(db, job.task_id, [...out]);
  }
  assertHeld();
}
