import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import { removeInstances } from './follow/removed-instances.sql.js';
import { removeStudy } from './follow/remove-study.js';
import type { Origin } from './quarantine.js';
import { recordSubmission } from './record-submission.js';
import { storeStudy } from './store-study.js';
import { lockClaim } from './study-rows.sql.js';
import type { IngestDeps } from './submit-study.js';

/** Takes out of a hospital's index what it held as the hospital's own, from this source or as described, and is another hospital's by its mark. */
export async function withdrawCopies(
  tx: Queryable,
  deps: IngestDeps,
  of: Origin & { studyInstanceUid: string },
  uids: readonly string[],
): Promise<void> {
  if (uids.length === 0) return;
  const claim = await lockClaim(tx, of.custodianId, of.studyInstanceUid);
  if (!claim) return;
  const held = await tx.query<{ sop_instance_uid: string; isCopy: boolean }>(sql`
    select sop_instance_uid, sop_instance_uid = any(${[...uids]}::text[]) and (connector_id is null or connector_id is not distinct from ${of.connectorId ?? null}::text) as "isCopy"
    from imaging_instance where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}`);
  const copies = held.filter(({ isCopy }) => isCopy);
  if (copies.length === 0) return;
  await removeInstances(tx, of, copies, 'copy');
  if (copies.length === held.length) return removeStudy(tx, deps, of, claim, copies.length);
  const stored = await storeStudy(tx, of.custodianId, claim);
  if (stored.changed)
    await recordSubmission(tx, deps.audit, of, stored, {
      act: 'study-removed',
      detail: `${copies.length} copies of another hospital`,
    });
}
