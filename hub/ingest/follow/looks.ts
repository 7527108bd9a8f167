import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { SOURCE_CHANGED } from '../source-locks.js';

/** A study that is to be looked at again at its source. */
export interface Look {
  studyInstanceUid: string;
  /** A person has confirmed that what is missing is gone. */
  confirmed: boolean;
  attempts: number;
  /** When it was asked for last, as text of the database: one that is asked for again meanwhile stays. */
  noted: string;
}

const LONGEST_WAIT_SECONDS = 3_600;
/** Looks that came to nothing so often are given up: the next comparison with the source brings the study again. */
const MOST_ATTEMPTS = 20;

/** Asks for studies to be looked at; soon, also where one waits already. */
export async function askForLooks(
  on: Queryable,
  connectorId: string,
  studyInstanceUids: readonly string[],
  { confirmed = false } = {},
): Promise<void> {
  await on.query(sql`
    insert into source_look as l (connector_id, study_instance_uid, confirmed)
    select ${connectorId}, uid, ${confirmed} from (select distinct unnest(${studyInstanceUids}::text[]) as uid) u order by uid
    on conflict (connector_id, study_instance_uid) do update set
      noted = clock_timestamp(), due = least(l.due, clock_timestamp()), confirmed = l.confirmed or excluded.confirmed`);
}

/** Asks for a study to be looked at in the other sources of its custodian: the index holds an object from one place only. */
export async function askElsewhere(
  on: Queryable,
  { custodianId, connectorId }: { custodianId: string; connectorId: string },
  studyInstanceUid: string,
): Promise<void> {
  const others = await on.query<{ id: string }>(sql`
    select id from connector where organization_id = ${custodianId} and enabled and id <> ${connectorId} order by id`);
  for (const { id } of others) {
    await askForLooks(on, id, [studyInstanceUid]);
    await on.query(sql`select pg_notify(${SOURCE_CHANGED}, ${id})`);
  }
}

/**
 * A hospital has something new of a study: sources of others that only told of theirs of it, and showed no header, are to be looked at, for what they have
 * may be copies.
 */
export async function askWhereUntold(on: Queryable, custodianId: string, studyInstanceUid: string): Promise<void> {
  await on.query(sql`
    insert into source_look (connector_id, study_instance_uid)
    select distinct i.connector_id, i.study_instance_uid from study_claim c
    join imaging_instance i on i.custodian_id = c.custodian_id and i.study_instance_uid = c.study_instance_uid
    where c.study_instance_uid = ${studyInstanceUid} and c.custodian_id <> ${custodianId} and i.digest is null and i.connector_id is not null
    order by i.connector_id on conflict do nothing`);
}

/** Looks that are due, oldest first. */
export function dueLooks(on: Queryable, connectorId: string): Promise<Look[]> {
  return on.query<Look & Record<string, unknown>>(sql`
    select study_instance_uid as "studyInstanceUid", confirmed, attempts, noted::text as noted from source_look
    where connector_id = ${connectorId} and due <= clock_timestamp() order by due limit 100`);
}

/** Seconds until the next look is due; undefined when none waits. */
export async function nextLook(on: Queryable, connectorId: string): Promise<number | undefined> {
  const [row] = await on.query<{ seconds: number | null }>(sql`
    select extract(epoch from min(due) - clock_timestamp())::float8 as seconds from source_look where connector_id = ${connectorId}`);
  return row?.seconds ?? undefined;
}

/** A look came to its end. */
export async function endLook(on: Queryable, connectorId: string, { studyInstanceUid, noted }: Look): Promise<void> {
  await on.query(sql`
    delete from source_look where connector_id = ${connectorId} and study_instance_uid = ${studyInstanceUid} and noted = ${noted}::timestamptz`);
}

/** Has a study looked at in a moment, unless it waits for that already. */
export async function askForLookLater(on: Queryable, connectorId: string, studyInstanceUid: string): Promise<void> {
  await on.query(sql`
    insert into source_look (connector_id, study_instance_uid, due)
    values (${connectorId}, ${studyInstanceUid}, clock_timestamp() + interval '1 second') on conflict do nothing`);
}

/** A look came to nothing: it is tried again after twice the time. */
export async function putOffLook(on: Queryable, connectorId: string, { studyInstanceUid, attempts }: Look): Promise<void> {
  const seconds = Math.min(2 ** attempts, LONGEST_WAIT_SECONDS);
  await on.query(
    attempts < MOST_ATTEMPTS
      ? sql`update source_look set attempts = attempts + 1, due = clock_timestamp() + make_interval(secs => ${seconds})
          where connector_id = ${connectorId} and study_instance_uid = ${studyInstanceUid}`
      : sql`delete from source_look where connector_id = ${connectorId} and study_instance_uid = ${studyInstanceUid}`,
  );
}
