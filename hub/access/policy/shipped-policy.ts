import { readPolicyTexts } from '../../../policies/policy-texts.js';
import type { AuditEntry } from '../../audit/vocabulary.js';
import type { Database, Queryable } from '../../store/database.js';
import { epochInForce, insertEpoch, lockPolicy, readEpoch } from './epochs.sql.js';
import { digestOf, soundPolicy } from './sound-policy.js';
import { vocabulary } from './vocabulary.js';

/** How the policy that came with the program stands to the one in force. */
export interface ShippedPolicy {
  epoch: number;
  /** Whether this start made it the first epoch, because the database had none. */
  isNew: boolean;
  /** Whether what came with the program is what is in force. A difference changes nothing by itself: somebody publishes it, or leaves it. */
  inForce: boolean;
}

/**
 * The program's policy becomes the first epoch of a database that has none.
 * @param append writes the audit of it in the same transaction
 * @throws PolicyError when the program's own policy has a fault
 */
export async function takeShippedPolicy(
  db: Database,
  append: (tx: Queryable, entries: readonly AuditEntry[]) => Promise<void>,
): Promise<ShippedPolicy> {
  const texts = readPolicyTexts();
  const digest = digestOf(texts);
  const current = await epochInForce(db);
  if (current !== undefined) {
    const epoch = await readEpoch(db, current);
    return { epoch: current, isNew: false, inForce: epoch?.digest === digest };
  }
  await soundPolicy(texts);
  const isNew = await db.transaction(async (tx) => {
    if ((await lockPolicy(tx)) !== undefined) return false;
    const by = 'Device/hub';
    const note = 'the policy that came with the program';
    const { number } = await insertEpoch(tx, { texts, digest, vocabulary, note, proposedBy: by, publishedBy: by });
    await append(tx, [
      {
        type: 'policy',
        subtype: 'publish',
        action: 'C',
        outcome: 0,
        agent: by,
        entity: [`PolicyEpoch/${number}`],
        detail: note,
        requestId: 'start',
      },
    ]);
    return true;
  });
  return isNew ? { epoch: 1, isNew, inForce: true } : takeShippedPolicy(db, append);
}
