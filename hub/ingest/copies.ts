import type { StudyDescription } from '../../connectors/connector.js';
import { mayBeCopied } from '../imaging/copied.sql.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/**
 * What of a study is the hospital's own. Objects that the hub delivered to its archive, or may have, are another hospital's: they are indexed where they come
 * from, and never become this one's to show or to pass on. Undefined when nothing is left.
 */
export async function ownPartOf(
  on: Queryable,
  custodianId: string,
  study: StudyDescription,
): Promise<StudyDescription | undefined> {
  const copies = await on.query<{ uid: string }>(sql`
    select i.sop_instance_uid as uid from delivery_job j join delivery_instance i using (task_id)
    where j.recipient_id = ${custodianId} and j.study_instance_uid = ${study.studyInstanceUid} and ${mayBeCopied}`);
  if (copies.length === 0) return study;
  const foreign = new Set(copies.map(({ uid }) => uid));
  const series = study.series
    .map((one) => ({ ...one, instances: one.instances.filter(({ sopInstanceUid }) => !foreign.has(sopInstanceUid)) }))
    .filter(({ instances }) => instances.length > 0);
  // what the archive counts holds the copies
  const { claimedInstances: _counted, ...rest } = study;
  return series.length === 0 ? undefined : { ...rest, series };
}
