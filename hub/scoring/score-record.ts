import { gunzipSync, gzipSync } from 'node:zlib';
import type { Manifest } from '../../models/manifest.js';
import type { Scored } from '../../models/score-messages.js';
import type { Protection } from '../store/protection.js';
import type { Database, Queryable } from '../store/database.js';
import { keyed, sql } from '../store/sql.js';
import type { MadeBy } from './made-by.js';
import type { StudyHeader } from './study-header.js';

/** A scored image, as the index knows it. */
export interface ScoredImage {
  sopClassUid: string;
  seriesInstanceUid: string;
  /** Number of Frames (0028,0008); 1 where the object has none. */
  frames: number;
}

/**
 * A score as it was published, to the last bit, with what its standard objects are made from. The resources round; what is drawn, filed in an archive or
 * replayed comes from here.
 */
export interface ScoreRecord {
  reportId: string;
  /** Reference of what was scored. */
  focus: string;
  custodianId: string;
  /** dateTime of the publication in the region's own time, such as `2026-01-02T10:00:00.123+08:00`. */
  publishedAt: string;
  manifest: Manifest;
  scored: Scored;
  /** What it was made with. */
  made: MadeBy;
  /** Absent where the model reads no images. */
  header?: StudyHeader;
  /** Of the images that went in, by SOP Instance UID; those that the index does not hold are absent. */
  images: Record<string, ScoredImage>;
}

/** What a record keeps of heat maps: the most telling ones, as long as their cells are not the pixels again. */
const MOST_MAPS = 64;
const MOST_CELLS = 64 * 64;

/** A score as it is kept, and as a replay is compared with it. */
export const asRecorded = (scored: Scored): Scored => {
  if (!scored.maps) return scored;
  const kept = scored.maps.filter(
    ({ rows, columns, values }) => rows * columns <= MOST_CELLS && values.length === rows * columns,
  );
  return { ...scored, maps: kept.slice(0, MOST_MAPS) };
};

/** A record holds the patient's name as the images have it: it is kept sealed. */
const placeOf = (reportId: string): string => `ScoreRecord/${reportId}`;

const sealed = ({ keys }: Protection, reportId: string, json: string): string =>
  keys.seal('content', placeOf(reportId), 'record', gzipSync(json).toString('base64'));

const opened = ({ keys }: Protection, reportId: string, text: string): string =>
  gunzipSync(Buffer.from(keys.open('content', placeOf(reportId), 'record', text), 'base64')).toString('utf8');

export async function insertScoreRecord(
  tx: Queryable,
  { record, provenanceId, taskId }: { record: ScoreRecord; provenanceId: string; taskId: string },
): Promise<void> {
  const json = JSON.stringify(record);
  await tx.query(sql`
    insert into score_record (report_id, provenance_id, task_id, focus, sealed)
    values (${record.reportId}, ${provenanceId}, ${taskId}, ${record.focus}, ${keyed((p) => sealed(p, record.reportId, json))})`);
}

/** The record behind a DiagnosticReport. @throws {IntegrityFailure} when it was changed. */
export async function findScoreRecord(db: Database, reportId: string): Promise<ScoreRecord | undefined> {
  const [row] = await db.query<{ sealed: string }>(sql`select sealed from score_record where report_id = ${reportId}`);
  return row && JSON.parse(opened(db.protection, reportId, row.sealed));
}

/** Id of the DiagnosticReport of a published score. @param id of that report, or of its Provenance. */
export async function publishedReport(on: Queryable, id: string): Promise<string | undefined> {
  const [row] = await on.query<{ report_id: string }>(
    sql`select report_id from score_record where report_id = ${id} or provenance_id = ${id} limit 1`,
  );
  return row?.report_id;
}

const WINDOW = 100;

/** Brings the records under the current key, a few at a time. */
export async function sealScoreRecordsAgain(db: Database): Promise<void> {
  for (let more = true; more; ) {
    more = await db.transaction(async (tx) => {
      const rows = await tx.query<{ report_id: string; sealed: string }>(sql`
        select report_id, sealed from score_record where not starts_with(sealed, ${`${db.protection.keys.current}.`})
        order by report_id limit ${WINDOW} for update`);
      for (const { report_id, sealed: before } of rows) {
        const again = sealed(db.protection, report_id, opened(db.protection, report_id, before));
        await tx.query(sql`update score_record set sealed = ${again} where report_id = ${report_id}`);
      }
      return rows.length > 0;
    });
  }
}
