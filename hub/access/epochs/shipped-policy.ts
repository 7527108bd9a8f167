import { readPolicyTexts } from '../../../policies/policy-texts.js';
import type { AuditEntry } from '../../audit/vocabulary.js';
import type { Database, Queryable } from '../../store/database.js';
import { epochInForce, insertEpoch, lockPolicy, readEpoch } from './epochs.sql.js';
import { digestOf, soundPolicy } from './sound-policy.js';
import { vocabulary } from '../policy/vocabulary.js';

/** How the policy that came with the program stands to the one in force. */
export interface ShippedPolicy {
  epoch: number;
  /** Whether this start put it in force. */
  isNew: boolean;
  /** Whether what came with the program is what is in force. A difference changes nothing by itself: somebody publishes it, or leaves it. */
  inForce: boolean;
}

/**
 * The program's policy becomes the first epoch of a database that has none.
 * @param renew also take it where another is in force: for the demonstration, which nobody governs
 * @param append writes the audit of it in the same transaction
 * @throws PolicyError when the program's own policy has a fault
 */
export async function takeShippedPolicy(
  db: Database,
  append: (tx: Queryable, entries: readonly AuditEntry[]) => Promise<void>,
  renew = false,
): Promise<ShippedPolicy> {
  const texts = readPolicyTexts();
  const digest = digestOf(texts);
  const current = await epochInForce(db);
  if (current !== undefined) {
    const inForce = (await readEpoch(db, current))?.digest === digest;
    if (inForce || !renew) return { epoch: current, isNew: false, inForce };
  }
  await soundPolicy(texts);
  const taken = await db.transaction(async (tx) => {
    if ((await lockPolicy(tx)) !== current) return undefined;
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
    return number;
  });
  return taken === undefined ? takeShippedPolicy(db, append, renew) : { epoch: taken, isNew: true, inForce: true };
}
