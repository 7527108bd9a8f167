import type { Scored } from '../../models/score-messages.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { ScoredImage } from './score-record.js';

/** What the index knows of the images that went into a score, in the order in which they went in. */
export async function scoredImages(
  on: Queryable,
  custodianId: string,
  { studyInstanceUid, inputs }: Scored,
): Promise<Record<string, ScoredImage>> {
  if (!studyInstanceUid) return {};
  const rows = await on.query<ScoredImage & { sopInstanceUid: string }>(sql`
    select sop_instance_uid as "sopInstanceUid", sop_class_uid as "sopClassUid", series_instance_uid as "seriesInstanceUid", coalesce(frames, 1) as frames
    from imaging_instance where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid}`);
  const known = new Map(rows.map(({ sopInstanceUid, ...image }) => [sopInstanceUid, image]));
  const uids = inputs.flatMap((input) => ('sopInstanceUid' in input ? [input.sopInstanceUid] : []));
  return Object.fromEntries(
    uids.flatMap((uid) => {
      const image = known.get(uid);
      return image ? [[uid, image]] : [];
    }),
  );
}
