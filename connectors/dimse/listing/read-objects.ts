import { fetchObjects } from '../services/objects.js';
import { maxObjectBytes, type ReadItem, readObject } from '../services/received-object.js';
import type { DimseSource } from '../source.js';
import type { SeriesUids } from './read-study.js';

/** Reads the objects of a series, or one of them, for their headers: all else that comes is let go. @throws SourceError as C-GET does. */
export async function readObjects(
  source: DimseSource,
  { sopClassUid, ...uids }: SeriesUids & { sopInstanceUid?: string; sopClassUid?: string },
  signal: AbortSignal,
): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  const wanted = { ...uids, sopClasses: sopClassUid === undefined ? [] : [sopClassUid] };
  for await (const object of fetchObjects(source, wanted, signal))
    items.push(await readObject(object, { defaultUtcOffset: source.defaultUtcOffset, maxBytes: maxObjectBytes }));
  return items;
}
