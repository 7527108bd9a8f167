import type { Queryable } from '../../store/database.js';
import { findResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { Claim } from '../study-rows.sql.js';
import type { IngestDeps } from '../submit-study.js';
import type { Replacement } from './replacement.js';
import { tellParties } from './tell-parties.js';
import { withdrawResults } from './withdraw-results.js';

/**
 * The archive files a study under another patient: so does the index. What was given by the first patient's record no longer is: grants of the study
 * end, and what a model found in it, which nobody has looked at yet, is withdrawn from the first patient's records. What people wrote about it
 * stays where they wrote it; who takes part in a referral about it is told.
 */
export async function moveStudy(
  tx: Queryable,
  deps: IngestDeps,
  of: Replacement,
  claim: Claim,
  patientId: string,
): Promise<Claim> {
  const study = await findResource(tx, 'ImagingStudy', claim.study_id);
  await tx.query(sql`
    update study_claim set patient_id = ${patientId} where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}`);
  if (study) {
    const why = 'The archive files the study under another patient.';
    await tellParties(tx, study, 'study-moved');
    await tx.query(sql`
      update access_grant set ended_at = now(), ended_because = ${why}
      where patient_id = ${study.patient_id} and ${`ImagingStudy/${study.id}`} = any(resources) and ended_at is null`);
    await deps.withdrawJobs?.(tx, study, why);
    await withdrawResults(tx, study);
  }
  return { ...claim, patient_id: patientId };
}
