import { type WantedHeaders, SourceError } from '../../connector.js';
import { NotSent } from '../services/get.js';
import { fetchObjects, type Wanted } from '../services/objects.js';
import { maxObjectBytes, type ReadItem, readObject } from '../services/received-object.js';
import type { DimseSource } from '../source.js';
import type { SeriesUids } from './read-study.js';

/** UIDs of one request: what has the length of two bytes (explicit VR, UI) holds a thousand. */
const MOST_LISTED = 500;

/** Reads the objects of a series, or one of them, for their headers: all else that comes is let go. @throws SourceError as C-GET does. */
export async function readObjects(
  source: DimseSource,
  { sopClassUid, ...uids }: SeriesUids & { sopInstanceUid?: string; sopClassUid?: string },
  signal: AbortSignal,
): Promise<ReadItem[]> {
  return readAll(source, { ...uids, sopClasses: sopClassUid === undefined ? [] : [sopClassUid] }, signal);
}

/**
 * Reads many objects of a series for their headers, by a list of their UIDs (PS3.4 C.4.3.1.3.1: those of the level that is asked for). An archive that refuses
 * a list, or sends less than all of it, is asked for the series.
 * @throws SourceError as C-GET does.
 */
export async function readListed(
  source: DimseSource,
  { sopInstanceUids, ...series }: WantedHeaders,
  signal: AbortSignal,
): Promise<ReadItem[]> {
  const came = new Map<string, ReadItem>();
  const take = async (wanted: Omit<Wanted, 'sopClasses'>): Promise<void> => {
    for (const item of await readAll(source, { ...wanted, sopClasses: [] }, signal)) came.set(uidIn(item), item);
  };
  const takeListed = async (): Promise<void> => {
    try {
      await take({ ...series, sopInstanceUid: [...sopInstanceUids].join('\\'), sopInstanceUids });
    } catch (error) {
      const isAnswer = error instanceof SourceError && ['bad-response', 'not-found'].includes(error.code);
      if (!isAnswer || error instanceof NotSent) throw error;
    }
  };
  if (sopInstanceUids.size <= MOST_LISTED) await takeListed();
  if ([...sopInstanceUids].some((uid) => !came.has(uid))) await take({ ...series, sopInstanceUids });
  return [...came.values()];
}

const uidIn = (item: ReadItem): string =>
  (item.kind === 'study' ? item.study.series[0]?.instances[0]?.sopInstanceUid : item.item.sopInstanceUid) ?? '';

async function readAll(source: DimseSource, wanted: Wanted, signal: AbortSignal): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  for await (const object of fetchObjects(source, wanted, signal))
    items.push(await readObject(object, { defaultUtcOffset: source.defaultUtcOffset, maxBytes: maxObjectBytes }));
  return items;
}
