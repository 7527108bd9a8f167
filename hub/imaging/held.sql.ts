import type { Queryable } from '../store/database.js';
import { raw, type Sql, sql } from '../store/sql.js';
import { areCopied } from './copied.sql.js';

/** What of a custodian's study is wanted: all of it, a series, or an instance. */
export interface Part {
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
}

/** What the index knows of an instance. */
export interface Indexed {
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  /** Not all sources tell this, nor how many frames there are. */
  transferSyntaxUid: string | null;
  frames: number | null;
  connectorId: string | null;
  locator: string | null;
}

/** What the index knows of what is wanted, in the order of the study. */
export interface Held {
  instances: Indexed[];
  /**
   * Sources that, asked for a study or series, would send along what contradicts the index (another patient's, say), or copies of another hospital's
   * objects that were delivered to it. From folders, and by DIMSE, only the instances that are asked for go further.
   */
  sendingMore: string[];
}

/** `Held` as one json column expression. @param custodianId as a value or in SQL. */
export const heldBy = (
  custodianId: string | Sql,
  { studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Part,
): Sql => sql`(select json_build_object(
  'instances', (
    select coalesce(json_agg(json_build_object('seriesInstanceUid', i.series_instance_uid, 'sopInstanceUid', i.sop_instance_uid,
        'sopClassUid', i.sop_class_uid, 'transferSyntaxUid', i.transfer_syntax_uid, 'frames', i.frames, 'connectorId', i.connector_id, 'locator', i.locator)
      order by s.number nulls last, i.series_instance_uid, i.number nulls last, i.sop_instance_uid), '[]')
    from imaging_instance i left join imaging_series s using (custodian_id, study_instance_uid, series_instance_uid)
    where i.custodian_id = ${custodianId} and i.study_instance_uid = ${studyInstanceUid}
      ${seriesInstanceUid === undefined ? raw('') : sql`and i.series_instance_uid = ${seriesInstanceUid}`}
      ${sopInstanceUid === undefined ? raw('') : sql`and i.sop_instance_uid = ${sopInstanceUid}`}),
  'sendingMore', ${sopInstanceUid === undefined ? sendingMore(custodianId, studyInstanceUid) : raw("'[]'::json")}))`;

const sendingMore = (custodianId: string | Sql, studyInstanceUid: string): Sql => sql`(
    select coalesce(json_agg(c.id), '[]') from connector c
    where c.organization_id = ${custodianId} and c.kind not in ('folder', 'dimse') and (${areCopied(custodianId, sql`array[${studyInstanceUid}]::text[]`)}
      or exists (select from quarantine q where q.custodian_id = c.organization_id and q.connector_id = c.id and q.study_instance_uid = ${studyInstanceUid}
        and q.state = 'held' and q.reason not in ('count-mismatch', 'source-error', 'removal-unconfirmed'))))`;

/** The column's value. */
export const heldOf = (column: string): Held => JSON.parse(column) as Held;

export async function readHeld(tx: Queryable, custodianId: string, part: Part): Promise<Held> {
  const [row] = await tx.query<{ held: string }>(sql`select ${heldBy(custodianId, part)} as held`);
  return row ? heldOf(row.held) : { instances: [], sendingMore: [] };
}
