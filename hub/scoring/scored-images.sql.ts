import type { Scored } from '../../models/score-messages.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { ScoredImage, ScoreRecord } from './score-record.js';

/** What the index knows of the images that went into a score, in the order in which they went in. */
export const scoredImages = (on: Queryable, custodianId: string, { studyInstanceUid, inputs }: Scored) =>
  known(
    on,
    custodianId,
    studyInstanceUid,
    inputs.flatMap((input) => ('sopInstanceUid' in input ? [input.sopInstanceUid] : [])),
  );

/** The same of further images of the scored study. */
export const imagesOf = (on: Queryable, { custodianId, scored, images }: ScoreRecord, uids: readonly string[]) =>
  known(
    on,
    custodianId,
    scored.studyInstanceUid,
    uids.filter((uid) => !images[uid]),
  );

async function known(
  on: Queryable,
  custodianId: string,
  studyInstanceUid: string | undefined,
  uids: readonly string[],
): Promise<Record<string, ScoredImage>> {
  if (!studyInstanceUid || uids.length === 0) return {};
  const rows = await on.query<ScoredImage & { sopInstanceUid: string }>(sql`
    select sop_instance_uid as "sopInstanceUid", sop_class_uid as "sopClassUid", series_instance_uid as "seriesInstanceUid", coalesce(frames, 1) as frames
    from imaging_instance where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid}`);
  const indexed = new Map(rows.map(({ sopInstanceUid, ...image }) => [sopInstanceUid, image]));
  return Object.fromEntries(
    uids.flatMap((uid) => {
      const image = indexed.get(uid);
      return image ? [[uid, image]] : [];
    }),
  );
}
