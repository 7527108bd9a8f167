import type { QuarantineReason, UnreadableItem } from '../../connectors/connector.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Queryable } from '../store/database.js';
import { newId } from '../store/resources.js';
import { and, keyed, raw, type Sql, sql } from '../store/sql.js';
import { withMessage } from './quarantined-message.js';

export type QuarantineState = 'held' | 'resolved' | 'discarded';

/** An item that could not be taken. */
export interface QuarantineRow {
  id: string;
  custodian_id: string;
  connector_id: string | null;
  locator: string;
  reason: QuarantineReason;
  detail: string;
  digest: string | null;
  study_instance_uid: string | null;
  series_instance_uid: string | null;
  sop_instance_uid: string | null;
  /** What was kept of it, sealed; only where it is read to be tried again. */
  message?: string | null;
  state: QuarantineState;
  attempts: number;
  first_seen: Date;
  last_seen: Date;
}

type Stored = QuarantineRow & Record<string, unknown>;

/** All but the message: it is for one purpose, and large. */
const COLUMNS =
  raw(`id, custodian_id, connector_id, locator, reason, detail, digest, study_instance_uid, series_instance_uid, sop_instance_uid, state,
  attempts, first_seen, last_seen`);

/** Where items come from, and the id under which the audit finds the reading. */
export interface Origin {
  custodianId: string;
  connectorId?: string;
  requestId: string;
}

/**
 * Keeps items that could not be taken, once for each (custodian, connector, locator, reason): seeing one again counts the attempt. A
 * discarded item comes back only with other bytes. Items that were not held before are audited, and returned.
 */
export async function quarantineItems(
  tx: Queryable,
  audit: Audit,
  { custodianId, connectorId, requestId }: Origin,
  items: readonly UnreadableItem[],
): Promise<QuarantineRow[]> {
  if (items.length === 0) return [];
  const given = items.map(({ message, ...item }) => ({
    ...item,
    id: newId(),
    locator: item.locator.slice(0, 1000),
    detail: item.detail.slice(0, 1000),
    bytes: message,
  }));
  const once = new Map(given.map((item) => [`${item.reason} ${item.locator}`, item]));
  const rows = await tx.query<Stored & { fresh: boolean }>(sql`
    insert into quarantine as q (id, custodian_id, connector_id, locator, reason, detail, digest, study_instance_uid, series_instance_uid, sop_instance_uid, message)
    select i.id, ${custodianId}, ${connectorId ?? null}, i.locator, i.reason, i.detail, i.digest, i."studyInstanceUid", i."seriesInstanceUid", i."sopInstanceUid", i.message
    from json_to_recordset(${keyed((p) => JSON.stringify([...once.values()].map((item) => withMessage(p, { custodianId, connectorId }, item))))}::json) as i
      (id text, locator text, reason text, detail text, digest text, "studyInstanceUid" text, "seriesInstanceUid" text, "sopInstanceUid" text, message text)
    order by md5(i.locator), i.reason
    on conflict (custodian_id, connector_id, md5(locator), reason) do update set
      state = case when q.state = 'discarded' and q.digest is not distinct from excluded.digest then 'discarded' else 'held' end,
      attempts = q.attempts + 1, last_seen = now(), detail = excluded.detail, digest = excluded.digest,
      study_instance_uid = excluded.study_instance_uid, series_instance_uid = excluded.series_instance_uid, sop_instance_uid = excluded.sop_instance_uid,
      message = excluded.message
    returning ${COLUMNS}, (xmax = 0) as fresh`);
  const fresh = rows.filter((r) => r.fresh);
  const reasons = [...new Set(fresh.map((r) => r.reason))];
  await audit.append(
    tx,
    reasons.map((reason) => ({
      type: 'ingest',
      subtype: 'quarantine',
      action: 'C',
      outcome: 4,
      agent: agentOfSource(connectorId),
      organizationId: custodianId,
      custodianId,
      entity: fresh
        .filter((r) => r.reason === reason)
        .slice(0, 100)
        .map((r) => `Quarantine/${r.id}`),
      detail: reason,
      requestId,
    })),
  );
  return fresh;
}

/** The agent of what a connector brings in. */
export const agentOfSource = (connectorId: string | undefined): string =>
  connectorId ? `Device/connector-${connectorId}` : 'Device/hub';

/** What was taken at last is no longer held. */
export async function resolveItems(
  tx: Queryable,
  { custodianId, connectorId }: Omit<Origin, 'requestId'>,
  locators: readonly string[],
): Promise<void> {
  if (locators.length === 0) return;
  await tx.query(sql`
    update quarantine set state = 'resolved', last_seen = now(), message = null
    where custodian_id = ${custodianId} and connector_id is not distinct from ${connectorId ?? null}::text and state = 'held'
      and md5(locator) in (select md5(l) from unnest(${locators}::text[]) as l)`);
}

/**
 * Items of a whole study or series that no longer hold: a part that could not be listed and now gave an object, a count that is reached.
 * @param locators of objects of the study that were taken.
 */
export async function resolveStudyItems(
  tx: Queryable,
  { custodianId, connectorId }: Omit<Origin, 'requestId'>,
  studyInstanceUid: string,
  locators: readonly string[],
): Promise<void> {
  const isListedNow = sql`q.reason = 'source-error' and exists (select 1 from unnest(${locators}::text[]) as l where starts_with(l, q.locator || '/'))`;
  const isReached = sql`q.reason = 'count-mismatch' and exists (
    select 1 from study_claim c where c.custodian_id = q.custodian_id and c.study_instance_uid = q.study_instance_uid and c.claimed_instances <=
      (select count(*) from imaging_instance i where i.custodian_id = q.custodian_id and i.study_instance_uid = q.study_instance_uid))`;
  await tx.query(sql`
    update quarantine q set state = 'resolved', last_seen = now()
    where q.custodian_id = ${custodianId} and q.connector_id is not distinct from ${connectorId ?? null}::text and q.state = 'held'
      and q.study_instance_uid = ${studyInstanceUid} and ((${isListedNow}) or (${isReached}))`);
}

export interface QuarantineQuery {
  custodianId: string;
  state?: QuarantineState;
  reason?: string;
  /** The last item of the page before. */
  after?: Pick<QuarantineRow, 'id' | 'first_seen'>;
  count: number;
}

/** A page of a custodian's items, newest first. */
export async function listQuarantine(
  on: Queryable,
  { custodianId, state, reason, after, count }: QuarantineQuery,
): Promise<QuarantineRow[]> {
  const conditions: Sql[] = [
    sql`custodian_id = ${custodianId}`,
    ...(state ? [sql`state = ${state}`] : []),
    ...(reason ? [sql`reason = ${reason}`] : []),
    // A Date has milliseconds; rows that share one are told apart by their id, which grows with time.
    ...(after ? [sql`(date_trunc('milliseconds', first_seen), id) < (${after.first_seen}::timestamptz, ${after.id})`] : []),
  ];
  return on.query<Stored>(sql`
    select ${COLUMNS} from quarantine where ${and(conditions)} order by date_trunc('milliseconds', first_seen) desc, id desc limit ${count}`);
}

/** One item of a custodian, under lock; undefined when it has none of this id. */
export async function lockQuarantined(tx: Queryable, custodianId: string, id: string): Promise<QuarantineRow | undefined> {
  const [row] = await tx.query<Stored>(
    sql`select ${COLUMNS}, message from quarantine where id = ${id} and custodian_id = ${custodianId} for update`,
  );
  return row;
}

/** Puts one item of a custodian into a state. */
export async function setQuarantineState(
  tx: Queryable,
  custodianId: string,
  id: string,
  state: QuarantineState,
): Promise<QuarantineRow | undefined> {
  const [row] = await tx.query<Stored>(sql`
    update quarantine set state = ${state}, last_seen = now(), message = case ${state} when 'resolved' then null else message end
    where id = ${id} and custodian_id = ${custodianId} returning ${COLUMNS}`);
  return row;
}
