import type { Connector, RetrieveReply, RetrieveRequest } from '../../connectors/connector.js';
import { SourceError } from '../../connectors/connector.js';
import type { Queryable } from '../store/database.js';
import { type Held, type Indexed, type Part, readHeld } from './held.sql.js';

/** What of a custodian's study is wanted: all of it, a series, an instance, or frames of one. */
export interface Wanted extends Part {
  custodianId: string;
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

/** Where the custodian has what is wanted, by what the index holds of it. No policy is applied here. */
export function locate({ instances, sendingMore }: Held, wanted: Wanted): Retrieval | Unretrievable {
  if (instances.length === 0) return wanted.seriesInstanceUid ? 'unknown' : 'not-retrievable';
  const held = instances.filter(isHeld);
  const [first] = held;
  if (!first) return 'not-retrievable';
  if (held.some((i) => i.connectorId !== first.connectorId)) return 'several-sources';
  if (!wanted.sopInstanceUid && sendingMore.includes(first.connectorId)) return 'quarantined';
  const { frames } = wanted;
  // Number of Frames (0028,0008) is stated by every multi-frame object.
  if (frames?.some((frame) => frame > (instances[0]?.frames ?? 1))) return 'unknown';
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
export function locateInPart(held: Held, wanted: Wanted, series: readonly string[]): Retrieval | Unretrievable {
  const { seriesInstanceUid = series.length === 1 ? series[0] : undefined } = wanted;
  if (seriesInstanceUid === undefined) return 'in-part';
  return series.includes(seriesInstanceUid)
    ? locate(within(held, { seriesInstanceUid }), { ...wanted, seriesInstanceUid })
    : 'unknown';
}

/** Of what is held, one series or instance. */
const within = (
  { instances, sendingMore }: Held,
  { seriesInstanceUid, sopInstanceUid }: Omit<Part, 'studyInstanceUid'>,
): Held => ({
  instances: instances.filter(
    (one) =>
      one.seriesInstanceUid === seriesInstanceUid && (sopInstanceUid === undefined || one.sopInstanceUid === sopInstanceUid),
  ),
  sendingMore,
});

/**
 * The instance that stands for a study or series in a thumbnail: the middle one of its first series of images, of the series that are opened.
 * `unknown` where the index holds no image.
 */
export function locateRepresentative(held: Held, wanted: Wanted, series?: readonly string[]): Retrieval | Unretrievable {
  const images = held.instances.filter(
    (one) => isHeld(one) && isImageClass(one.sopClassUid) && (!series || series.includes(one.seriesInstanceUid)),
  );
  const ofFirst = images.filter((one) => one.seriesInstanceUid === images[0]?.seriesInstanceUid);
  const middle = ofFirst[Math.floor(ofFirst.length / 2)];
  if (!middle) return 'unknown';
  const { seriesInstanceUid, sopInstanceUid } = middle;
  return locate(within(held, middle), { ...wanted, seriesInstanceUid, sopInstanceUid });
}

/** Storage SOP classes without pixels (PS3.4 table B.5-1): waveforms, presentation states, spatial objects, reports, documents, plans. */
const withoutPixels =
  /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(9|11|66(?!\.4$)|67|68|78|79|80|88|90|91|104|130|131|200|201|481\.(?![12]$))(\.|$)/;
const isImageClass = (sopClassUid: string): boolean => !withoutPixels.test(sopClassUid);

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
    const found = locate(await readHeld(db, of.custodianId, of), of);
    if (typeof found === 'string') throw new SourceError('not-found', `The series can't be retrieved: ${found}.`);
    return open(connectorFor, found, 'instances', signal);
  };
}
