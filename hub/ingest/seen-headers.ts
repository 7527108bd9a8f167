import {
  type Change,
  type Connector,
  type InstanceDescription,
  type SeriesDescription,
  SourceError,
  type StudyDescription,
  type UnreadableItem,
} from '../../connectors/connector.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import { evidenceOf } from './copies.js';
import type { Origin } from './quarantine.js';

/** A study whose objects were looked into as far as needed, and those that could not be. */
export interface Seen {
  study: StudyDescription;
  unread: UnreadableItem[];
}

type Source = Pick<Connector, 'retry' | 'health' | 'headers'>;

const LONGEST_READ_MS = 60_000;
/** Many objects of a series, or all of it, come in so long. */
const LONGEST_SERIES_MS = 600_000;
/** More of a series than so many are read at once. */
const FEW = 4;

/**
 * A source may only tell of objects (C-FIND) and not show whether they carry the mark of a copy. Where another hospital has the study, each header is read
 * before the object counts as this hospital's; at an archive that keeps deliveries one of each new series, and all of a series of which that one is a
 * copy. A header is read once: its digest stands for it. What can't be read is not taken for the hospital's own.
 * @throws SourceError when the source as a whole does not answer.
 */
export async function withHeaders(
  { db, connector }: { db: Queryable; connector?: Source },
  { custodianId, connectorId }: Origin,
  study: StudyDescription,
): Promise<Seen> {
  const untold = study.series.flatMap(({ instances }) => instances.filter(({ digest }) => digest === undefined));
  if (!connector || connectorId === undefined || untold.length === 0) return { study, unread: [] };
  const suspicion = await suspicionOf(db, { custodianId, connectorId }, study.studyInstanceUid, untold);
  if (!suspicion) return { study, unread: [] };
  const series: SeriesDescription[] = [];
  const unread: UnreadableItem[] = [];
  for (const one of study.series) {
    const seen = await seenSeries(connector, study.studyInstanceUid, one, suspicion);
    unread.push(...seen.unread);
    if (seen.instances.length > 0) series.push({ ...one, instances: seen.instances });
  }
  return { study: { ...study, series }, unread };
}

/** The instances of a series of which enough is known. What the source does not send is not taken. */
async function seenSeries(
  connector: Source,
  studyInstanceUid: string,
  { seriesInstanceUid, instances }: SeriesDescription,
  { known, seen, isElsewhere }: Suspicion,
): Promise<{ instances: InstanceDescription[]; unread: UnreadableItem[] }> {
  const isAsked = ({ digest, sopInstanceUid }: InstanceDescription) => digest === undefined && !known.has(sopInstanceUid);
  const asked = instances.filter(isAsked);
  const uids: Uids = { studyInstanceUid, seriesInstanceUid };
  const headers = new Map<string, Header>();
  const read = async (some: readonly InstanceDescription[]): Promise<void> => {
    for (const [uid, header] of await headersOf(connector, uids, some)) headers.set(uid, header);
  };
  const [first, ...others] = isElsewhere || !seen.has(seriesInstanceUid) ? asked : [];
  if (first) await read(isElsewhere ? [first, ...others] : [first]);
  const sample = first && headers.get(first.sopInstanceUid);
  if (sample && !isElsewhere && !isUnread(sample) && sample.copyOf !== undefined) await read(others);
  const outcomes = [...headers.values()];
  const [failed] = outcomes.filter(isUnread);
  // where nothing comes, one item stands for the series
  if (failed?.reason === 'source-error' && !outcomes.some(isRead))
    return { instances: instances.filter((one) => !isAsked(one)), unread: [{ ...failed, sopInstanceUid: undefined }] };
  const found = instances.map((one): Header => headers.get(one.sopInstanceUid) ?? one);
  return { instances: found.filter(isRead), unread: found.filter(isUnread) };
}

/** An instance as its header says it, or why that can't be read. */
type Header = InstanceDescription | UnreadableItem;

const isRead = (one: Header): one is InstanceDescription => !isUnread(one);
const isUnread = (one: Header): one is UnreadableItem => 'reason' in one;

interface Suspicion {
  /** Objects whose header the hub has read before, or that it knows as copies. */
  known: ReadonlySet<string>;
  /** Series of which it has read one. */
  seen: ReadonlySet<string>;
  /** Another hospital has the study, or had it. */
  isElsewhere: boolean;
}

/** Why objects of a study could be copies; undefined when nothing says so. */
async function suspicionOf(
  on: Queryable,
  { custodianId, connectorId }: { custodianId: string; connectorId: string },
  studyInstanceUid: string,
  untold: readonly InstanceDescription[],
): Promise<Suspicion | undefined> {
  const [where] = await on.query<{ isElsewhere: boolean; keeps: boolean }>(sql`
    select exists (select from study_claim where study_instance_uid = ${studyInstanceUid} and custodian_id <> ${custodianId}) as "isElsewhere",
      exists (select from connector where id = ${connectorId} and settings @> '{"store": true}') as keeps`);
  if (!where?.isElsewhere && !where?.keeps) return undefined;
  const rows = await on.query<{ uid: string; series: string }>(sql`
    select sop_instance_uid as uid, series_instance_uid as series from imaging_instance
    where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid} and digest is not null`);
  const evidence = await evidenceOf(on, custodianId, studyInstanceUid);
  const told = [...evidence].flatMap(([uid, is]) => (is === 'refused' ? [] : [uid]));
  const given = new Set(untold.map(({ sopInstanceUid }) => sopInstanceUid));
  return {
    known: new Set([...rows.map(({ uid }) => uid), ...told].filter((uid) => given.has(uid))),
    seen: new Set(rows.map(({ series }) => series)),
    isElsewhere: where.isElsewhere,
  };
}

/** Headers by SOP Instance UID, or why one can't be had. */
async function headersOf(connector: Source, uids: Uids, listed: readonly InstanceDescription[]): Promise<Map<string, Header>> {
  const headers = new Map<string, Header>();
  const wanted = new Map(listed.map((one) => [one.sopInstanceUid, one]));
  if (connector.headers && listed.length > FEW) {
    const read = connector.headers;
    const asked = { ...uids, sopInstanceUids: new Set(wanted.keys()) };
    const changes = await tried(connector, () => read.call(connector, asked, AbortSignal.timeout(LONGEST_SERIES_MS)));
    for (const change of changes ?? []) {
      const uid = change.kind === 'unreadable' ? change.item.sopInstanceUid : instancesOf(change)[0]?.sopInstanceUid;
      const one = wanted.get(uid ?? '');
      if (one) headers.set(one.sopInstanceUid, headerIn(change, uids, one));
    }
    for (const one of listed) if (!headers.has(one.sopInstanceUid)) headers.set(one.sopInstanceUid, unread(uids, one));
    return headers;
  }
  for (const one of listed) {
    const { locator, sopClassUid } = one;
    const change = await tried(connector, () => connector.retry({ locator, sopClassUid }, AbortSignal.timeout(LONGEST_READ_MS)));
    headers.set(one.sopInstanceUid, change ? headerIn(change, uids, one) : unread(uids, one));
  }
  return headers;
}

interface Uids {
  studyInstanceUid: string;
  seriesInstanceUid: string;
}

const instancesOf = (change: Change): InstanceDescription[] =>
  change.kind === 'study' ? change.study.series.flatMap(({ instances }) => instances) : [];

function headerIn(change: Change, uids: Uids, listed: InstanceDescription): Header {
  const { locator, sopInstanceUid } = listed;
  if (change.kind === 'unreadable') return { ...change.item, locator, ...uids, sopInstanceUid };
  const header = instancesOf(change).find((one) => one.sopInstanceUid === sopInstanceUid && one.digest !== undefined);
  if (!header) return unread(uids, listed);
  const { digest, copyOf } = header;
  return { ...listed, digest, ...(copyOf === undefined ? {} : { copyOf }) };
}

const unread = (uids: Uids, { locator, sopInstanceUid }: InstanceDescription): UnreadableItem => ({
  locator,
  ...uids,
  sopInstanceUid,
  reason: 'source-error',
  detail: 'The object can not be read, and may be a copy of another hospital’s.',
});

/** Undefined where what was asked for can't be had. @throws SourceError when the source as a whole does not answer. */
async function tried<T>(connector: Source, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof SourceError) && (error as Error).name !== 'TimeoutError') throw error;
    if (!(await connector.health(AbortSignal.timeout(LONGEST_READ_MS))).reachable)
      throw new SourceError('unreachable', 'The source does not answer.', { cause: error });
    return undefined;
  }
}
