import { readPolicyTexts } from '../../../policies/policy-texts.js';
import type { AuditEntry } from '../../audit/vocabulary.js';
import type { Database, Queryable } from '../../store/database.js';
import { epochInForce, insertEpoch, lockPolicy, readEpoch } from './epochs.sql.js';
import { lackingOf } from './shipped-additions.js';
import { digestOf, soundPolicy } from './sound-policy.js';
import { vocabulary } from '../policy/vocabulary.js';

/** How the policy that came with the program stands to the one in force. */
export interface ShippedPolicy {
  epoch: number;
  /** Whether this start put it in force. */
  isNew: boolean;
  /** Whether what came with the program is what is in force. A difference changes nothing by itself: somebody publishes it, or leaves it. */
  inForce: boolean;
  /** Rules and groups of the program that the one in force lacks: what they allow is refused. */
  lacks: string[];
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
    const epoch = await readEpoch(db, current);
    const inForce = epoch?.digest === digest;
    const lacks = epoch && !inForce ? lackingOf(epoch.texts, texts).lines : [];
    if (inForce || !renew) return { epoch: current, isNew: false, inForce, lacks };
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
  return taken === undefined ? takeShippedPolicy(db, append, renew) : { epoch: taken, isNew: true, inForce: true, lacks: [] };
}

/** Of the epoch of a database that was looked at last: an epoch never changes, nor does the program. */
const lacking = new WeakMap<Queryable, { epoch: number; lines: number }>();

/** How many rules and groups of the program the policy in force lacks; undefined where none is in force. */
export async function lackingInForce(db: Queryable): Promise<number | undefined> {
  const current = await epochInForce(db);
  if (current === undefined) return undefined;
  const known = lacking.get(db);
  if (known?.epoch === current) return known.lines;
  const epoch = await readEpoch(db, current);
  const lines = epoch ? lackingOf(epoch.texts).lines.length : 0;
  lacking.set(db, { epoch: current, lines });
  return lines;
}
