import type { Manifest } from '../../models/manifest.js';
import type { Scored } from '../../models/score-messages.js';
import type { Database, Queryable } from '../store/database.js';
import { keyed, sql } from '../store/sql.js';
import type { MadeBy } from './made-by.js';
import { openedRecord, sealedRecord, sealRecordsAgain } from './sealed-record.js';
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

export async function insertScoreRecord(
  tx: Queryable,
  { record, provenanceId, taskId }: { record: ScoreRecord; provenanceId: string; taskId: string },
): Promise<void> {
  await tx.query(sql`
    insert into score_record (report_id, provenance_id, task_id, focus, sealed)
    values (${record.reportId}, ${provenanceId}, ${taskId}, ${record.focus}, ${keyed((p) => sealedRecord(p, placeOf(record.reportId), record))})`);
}

/** The record behind a DiagnosticReport. @throws {IntegrityFailure} when it was changed. */
export async function findScoreRecord(
  { protection }: Pick<Database, 'protection'>,
  on: Queryable,
  reportId: string,
): Promise<ScoreRecord | undefined> {
  const [row] = await on.query<{ sealed: string }>(sql`select sealed from score_record where report_id = ${reportId}`);
  return row && openedRecord(protection, placeOf(reportId), row.sealed);
}

/** Id of the Task that was scored. */
export async function scoredTask(on: Queryable, reportId: string): Promise<string> {
  const [row] = await on.query<{ task_id: string }>(sql`select task_id from score_record where report_id = ${reportId}`);
  return row?.task_id ?? '';
}

/** Id of the DiagnosticReport of a published score. @param id of that report, or of its Provenance. */
export async function publishedReport(on: Queryable, id: string): Promise<string | undefined> {
  const [row] = await on.query<{ report_id: string }>(
    sql`select report_id from score_record where report_id = ${id} or provenance_id = ${id} limit 1`,
  );
  return row?.report_id;
}

/** Brings the records under the current key. */
export const sealScoreRecordsAgain = (db: Database): Promise<void> =>
  sealRecordsAgain(db, { table: 'score_record', key: ['report_id'], placeOf: (row) => placeOf(String(row['report_id'])) });
