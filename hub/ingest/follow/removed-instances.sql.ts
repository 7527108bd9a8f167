import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';

/** An instance of a study as the index holds it. */
export interface HeldInstance {
  sop_instance_uid: string;
  series_instance_uid: string;
  sop_class_uid: string;
  digest: string | null;
  connector_id: string | null;
  /** It was there before the source was looked at. */
  isOlder: boolean;
}

interface OfStudy {
  custodianId: string;
  studyInstanceUid: string;
}

/** All instances of a study, wherever they are from. The claim must be locked. */
export function heldInstances(tx: Queryable, of: OfStudy & { began: string }): Promise<HeldInstance[]> {
  return tx.query<HeldInstance & Record<string, unknown>>(sql`
    select sop_instance_uid, series_instance_uid, sop_class_uid, digest, connector_id, first_seen < ${of.began}::timestamptz as "isOlder"
    from imaging_instance where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}`);
}

/** Takes instances out of the index; what was known of them is kept. Series of which nothing is left go with them. */
export async function removeInstances(
  tx: Queryable,
  of: OfStudy,
  instances: readonly { sop_instance_uid: string }[],
  cause: 'gone' | 'replaced' | 'copy',
): Promise<void> {
  if (instances.length === 0) return;
  await tx.query(sql`
    with removed as (
      delete from imaging_instance
      where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}
        and sop_instance_uid = any(${instances.map((one) => one.sop_instance_uid)}::text[])
      returning *
    )
    insert into removed_instance (custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, transfer_syntax_uid, number,
      title, frames, digest, connector_id, locator, first_seen, cause)
    select custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, transfer_syntax_uid, number,
      title, frames, digest, connector_id, locator, first_seen, ${cause} from removed`);
  await tx.query(sql`
    delete from imaging_series s where s.custodian_id = ${of.custodianId} and s.study_instance_uid = ${of.studyInstanceUid}
      and not exists (select from imaging_instance i where i.custodian_id = s.custodian_id and i.study_instance_uid = s.study_instance_uid
        and i.series_instance_uid = s.series_instance_uid)`);
}

/** Forgets what was said of a study's series, to be said anew. */
export async function removeSeries(tx: Queryable, of: OfStudy): Promise<void> {
  await tx.query(sql`
    delete from imaging_series where custodian_id = ${of.custodianId} and study_instance_uid = ${of.studyInstanceUid}`);
}
