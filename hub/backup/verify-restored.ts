import { checkDatabase } from '../audit/proof/check-database.js';
import { sealAll } from '../audit/proof/seal.js';
import { auditKey } from '../audit/proof/sealer.js';
import type { Verification } from '../audit/proof/verify-export.js';
import { type Config, secretsOf } from '../config.js';
import type { Database } from '../store/database.js';
import type { Manifest } from './manifest.js';

/**
 * Has the audit of a restored database go on, with the restoring as its newest row, and checks all of it: every row is the one that was sealed,
 * and the tree that the backup's newest head was signed for is the beginning of this one.
 */
export async function verifyRestored(
  db: Database,
  config: Config,
  { audit }: Manifest,
  progress: (line: string) => void,
): Promise<{ verification: Verification; wrongNodes: number }> {
  const key = await auditKey(db, secretsOf(config));
  await sealAll(db, key, { wait: true });
  const checked = await checkDatabase(db, {
    witnessed: audit ? [audit.jws] : [],
    progress: (leaves, of) => progress(`${leaves} of ${of} leaves of the audit checked`),
  });
  if (!checked || (checked.verification.head?.tree_size ?? 0) <= (audit?.size ?? 0))
    throw new Error('the audit does not go on: what was restored is there, but the row of its restoring could not be sealed');
  return checked;
}
