import type { Connector, RetrieveReply, RetrieveRequest } from '../../connectors/connector.js';
import { SourceError } from '../../connectors/connector.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import { areCopied } from './copied.sql.js';

/** What of a custodian's study is wanted: all of it, a series, an instance, or frames of one. */
export interface Wanted {
  custodianId: string;
  studyInstanceUid: string;
  seriesInstanceUid?: string;
  sopInstanceUid?: string;
  frames?: number[];
}

/** What is asked of a source, in one representation or another. */
export type Scope = Omit<RetrieveRequest, 'representation'>;

/** What the index knows of an instance's bytes; not all sources tell. */
export interface Stored {
  transferSyntaxUid?: string;
  frames?: number;
}

/** A retrieval that one source can answer. */
export interface Retrieval {
  connectorId: string;
  request: Scope;
  /** Of the instances of the request, in their order. */
  stored: Stored[];
}

/**
 * Why there is nothing to retrieve: no such object, only described and not retrievable, spread over several archives, or the archive would send
 * objects along that are in quarantine, or another hospital's; or only some series of the study are opened, and an archive that is asked for the study would send all.
 */
export type Unretrievable = 'unknown' | 'not-retrievable' | 'several-sources' | 'quarantined' | 'in-part';

export type ConnectorFor = (connectorId: string) => Connector | undefined;

interface Indexed {
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  transferSyntaxUid: string | null;
  frames: number | null;
  connectorId: string | null;
  locator: string | null;
  [column: string]: unknown;
}

/** Where the custodian has what is wanted, by the index. No policy is applied here. */
export async function locate(tx: Queryable, wanted: Wanted): Promise<Retrieval | Unretrievable> {
  const indexed = await readIndex(tx, wanted);
  if (indexed.length === 0) return wanted.seriesInstanceUid ? 'unknown' : 'not-retrievable';
  const held = indexed.filter(isHeld);
  const [first] = held;
  if (!first) return 'not-retrievable';
  if (held.some((i) => i.connectorId !== first.connectorId)) return 'several-sources';
  if (!wanted.sopInstanceUid && (await sendsMore(tx, wanted, first.connectorId))) return 'quarantined';
  const { frames } = wanted;
  // Number of Frames (0028,0008) is stated by every multi-frame object.
  if (frames?.some((frame) => frame > (indexed[0]?.frames ?? 1))) return 'unknown';
  const { custodianId: _custodian, ...scope } = wanted;
  return {
    connectorId: first.connectorId,
    request: {
      ...scope,
      instances: held.map(({ seriesInstanceUid, sopInstanceUid, sopClassUid, locator }) => ({
        seriesInstanceUid,
        sopInstanceUid,
        sopClassUid,
        locator,
      })),
    },
    stored: held.map((one) => ({
      ...(one.transferSyntaxUid === null ? {} : { transferSyntaxUid: one.transferSyntaxUid }),
      ...(one.frames === null ? {} : { frames: one.frames }),
    })),
  };
}

const isHeld = (one: Indexed): one is Indexed & { connectorId: string; locator: string } =>
  one.connectorId !== null && one.locator !== null;

/** The same of a study of which only these series are opened: to ask for another one is to ask for what is not there. */
export async function locateInPart(tx: Queryable, wanted: Wanted, series: readonly string[]): Promise<Retrieval | Unretrievable> {
  const { seriesInstanceUid = series.length === 1 ? series[0] : undefined } = wanted;
  if (seriesInstanceUid === undefined) return 'in-part';
  return series.includes(seriesInstanceUid) ? locate(tx, { ...wanted, seriesInstanceUid }) : 'unknown';
}

/**
 * The instance that stands for a study or series in a thumbnail: the middle one of its first series of images, of the series that are opened.
 * Undefined where the index holds no image.
 */
export async function representative(tx: Queryable, wanted: Wanted, series?: readonly string[]): Promise<Wanted | undefined> {
  const images = (await readIndex(tx, wanted)).filter(
    (one) => isHeld(one) && isImageClass(one.sopClassUid) && (!series || series.includes(one.seriesInstanceUid)),
  );
  const ofFirst = images.filter((one) => one.seriesInstanceUid === images[0]?.seriesInstanceUid);
  const middle = ofFirst[Math.floor(ofFirst.length / 2)];
  return middle && { ...wanted, seriesInstanceUid: middle.seriesInstanceUid, sopInstanceUid: middle.sopInstanceUid };
}

/** Storage SOP classes without pixels (PS3.4 table B.5-1): waveforms, presentation states, spatial objects, reports, documents, plans. */
const withoutPixels =
  /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(9|11|66(?!\.4$)|67|68|78|79|80|88|90|91|104|130|131|200|201|481\.(?![12]$))(\.|$)/;
const isImageClass = (sopClassUid: string): boolean => !withoutPixels.test(sopClassUid);

/**
 * A PACS answers for a whole study or series by itself, and would send along with it what contradicts the index (another patient's, say), and copies of
 * another hospital's objects that were delivered to it. From folders, and by DIMSE, only the instances that are asked for go further.
 */
async function sendsMore(tx: Queryable, wanted: Wanted, connectorId: string): Promise<boolean> {
  const held = await tx.query(sql`
    select 1 from connector c where c.id = ${connectorId} and c.kind not in ('folder', 'dimse') and (${areCopied(wanted.custodianId, sql`array[${wanted.studyInstanceUid}]::text[]`)}
      or exists (select from quarantine q where q.custodian_id = ${wanted.custodianId} and q.connector_id = c.id and q.study_instance_uid = ${wanted.studyInstanceUid}
        and q.state = 'held' and q.reason not in ('count-mismatch', 'source-error', 'removal-unconfirmed')))`);
  return held.length > 0;
}

function readIndex(tx: Queryable, wanted: Wanted): Promise<Indexed[]> {
  const { custodianId, studyInstanceUid } = wanted;
  const seriesInstanceUid = wanted.seriesInstanceUid ?? null;
  const sopInstanceUid = wanted.sopInstanceUid ?? null;
  return tx.query<Indexed>(sql`
    select i.series_instance_uid as "seriesInstanceUid", i.sop_instance_uid as "sopInstanceUid", i.sop_class_uid as "sopClassUid",
      i.transfer_syntax_uid as "transferSyntaxUid", i.frames, i.connector_id as "connectorId", i.locator
    from imaging_instance i left join imaging_series s using (custodian_id, study_instance_uid, series_instance_uid)
    where i.custodian_id = ${custodianId} and i.study_instance_uid = ${studyInstanceUid}
      and (${seriesInstanceUid}::text is null or i.series_instance_uid = ${seriesInstanceUid})
      and (${sopInstanceUid}::text is null or i.sop_instance_uid = ${sopInstanceUid})
    order by s.number nulls last, i.series_instance_uid, i.number nulls last, i.sop_instance_uid`);
}

/** How long a source may take to begin its answer, in milliseconds. */
const START_TIMEOUT = 60_000;

/**
 * Opens a retrieval at its source, in one representation. The body must be read to its end or destroyed.
 * @throws SourceError when the source is not configured, does not begin within a minute, or fails.
 */
export async function open(
  connectorFor: ConnectorFor,
  { connectorId, request }: Retrieval,
  representation: RetrieveRequest['representation'],
  signal: AbortSignal,
): Promise<RetrieveReply> {
  const connector = connectorFor(connectorId);
  if (!connector) throw new SourceError('unreachable', 'The source of the study is not connected.');
  const overdue = new AbortController();
  const timer = setTimeout(() => overdue.abort(), START_TIMEOUT);
  try {
    const opening = connector.retrieve({ ...request, representation }, AbortSignal.any([signal, overdue.signal]));
    return await Promise.race([opening, rejection(overdue.signal, opening)]);
  } finally {
    clearTimeout(timer);
  }
}

/** A reply that comes after the time is over is given up unread. */
function rejection(signal: AbortSignal, opening: Promise<RetrieveReply>): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(new SourceError('timeout', 'The source does not begin to answer.'));
      opening.then((late) => discard(late)).catch(() => undefined);
    });
  });
}

/** Gives up a reply that nobody will read. */
export function discard({ body }: RetrieveReply): void {
  body.once('error', () => undefined).destroy();
}

/**
 * Retrieval for the hub's own scoring, which has a permission of its own (to score is not to view): a series of a custodian's study.
 * @throws SourceError `not-found` for what the index does not hold.
 */
export function retrieveSeries({ db, connectorFor }: { db: Queryable; connectorFor: ConnectorFor }) {
  return async (
    of: { custodianId: string; studyInstanceUid: string; seriesInstanceUid: string },
    signal: AbortSignal,
  ): Promise<RetrieveReply> => {
    const found = await locate(db, of);
    if (typeof found === 'string') throw new SourceError('not-found', `The series can't be retrieved: ${found}.`);
    return open(connectorFor, found, 'instances', signal);
  };
}
