import type { PatientDescription } from '../../../connectors/connector.js';
import { correctPatient } from '../../identity/correct-patient.js';
import { ensureCustodianPatient, FROM_STUDY } from '../../identity/custodian-patient.js';
import { contradiction, demographicsOfDescription, demographicsOfRow } from '../../identity/demographics.js';
import type { Queryable } from '../../store/database.js';
import { findResource, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import type { Claim } from '../study-rows.sql.js';
import { holdsNumber } from '../submit-study.js';

/** Whose a study is by what its source states now. */
export type PatientNow =
  | { patientId: string; isMoved: boolean }
  /** `isQuestion`: it would be a correction if the patient's other studies were stated the same. */
  | { conflict: string; isQuestion: boolean };

/**
 * A study stays with its Patient where nothing contradicts that. Where its archive has rewritten every object of it, it follows: to the Patient of
 * another number, or to the corrected name, birth date or sex of a Patient whom the hub knows from images alone. A hospital's own registration is
 * corrected by the hospital, a Patient whom stewards or a national identifier have linked with others is no longer the images' alone, and objects that
 * were only added correct nothing.
 */
export async function patientNow(
  tx: Queryable,
  { custodianId, studyInstanceUid }: { custodianId: string; studyInstanceUid: string },
  claim: Claim,
  patient: PatientDescription,
  { isRewritten, mayCorrect }: { isRewritten: boolean; mayCorrect: boolean },
): Promise<PatientNow> {
  const number = patient.patientId?.trim();
  if (number && !(await holdsNumber(tx, custodianId, claim.patient_id, number))) {
    if (!isRewritten) return { conflict: 'The study is known with another patient number.', isQuestion: false };
    const other = await ensureCustodianPatient(tx, { custodianId, patient, studyInstanceUid });
    return 'conflict' in other ? { ...other, isQuestion: false } : { ...other, isMoved: true };
  }
  const row = await findResource(tx, 'Patient', claim.patient_id);
  const against = row && contradiction(demographicsOfRow(row), demographicsOfDescription(patient));
  const same: PatientNow = { patientId: claim.patient_id, isMoved: false };
  if (!row || !against) {
    if (!number) return same;
    const known = await ensureCustodianPatient(tx, { custodianId, patient, studyInstanceUid });
    return 'conflict' in known ? { ...known, isQuestion: false } : same;
  }
  // images of a number that was merged still say what they said before
  if (number && !('conflict' in (await ensureCustodianPatient(tx, { custodianId, patient, studyInstanceUid })))) return same;
  const isCorrectable = isRewritten && toResource(row).meta?.source === FROM_STUDY && !(await isLinked(tx, row.id));
  if (!isCorrectable || !mayCorrect)
    return { conflict: `The study is known with another ${against}.`, isQuestion: isCorrectable };
  await correctPatient(tx, row, patient);
  return same;
}

async function isLinked(tx: Queryable, patientId: string): Promise<boolean> {
  const mates = await tx.query(sql`
    select 1 from cross_reference own join cross_reference mate using (cluster_id)
    where own.patient_id = ${patientId} and mate.patient_id <> own.patient_id limit 1`);
  return mates.length > 0;
}
