import type { Queryable } from '../../store/database.js';
import { deleteResource, findResource, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { Origin } from '../quarantine.js';
import { type Decided, recordSubmission } from '../record-submission.js';
import { withoutImages } from '../store-study.js';
import { NOTHING_SAID } from '../study-facts.js';
import { type Claim, updateClaim } from '../study-rows.sql.js';
import type { IngestDeps } from '../submit-study.js';
import { tellParties } from './tell-parties.js';

/**
 * The archive has nothing of a study any more: its resource is deleted (410 for those who may know of it), its history, its reports and what else was
 * written about it stay. The claim stays too, so that a study which comes back is the same resource. What was still to be scored is not.
 */
export async function removeStudy(
  tx: Queryable,
  deps: IngestDeps,
  of: Origin & { studyInstanceUid: string },
  claim: Claim,
  removed: number,
  decided?: Decided,
): Promise<void> {
  await updateClaim(tx, of.custodianId, { ...claim, ...NOTHING_SAID });
  await tx.query(sql`
    update study_claim set removed = now() where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}`);
  const current = await findResource(tx, 'ImagingStudy', claim.study_id);
  if (!current || current.deleted) return;
  const row = await deleteResource(tx, current, withoutImages(toResource(current)));
  await recordSubmission(
    tx,
    deps.audit,
    of,
    { row, created: false },
    { act: 'study-removed', detail: `${removed} instances`, decided },
  );
  await deps.withdrawJobs?.(tx, row, 'The archive no longer has the study.');
  await tellParties(tx, row, 'study-removed');
}
