import { type Change, SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { isUid } from '../dicom/uid.js';
import { mapConcurrently } from '../map-concurrently.js';
import type { OrthancChanges, OrthancInstance, OrthancMetadata, OrthancSeries, OrthancStudy } from './orthanc-types.js';
import { readInstance } from './read-studies.js';
import { urlBelow } from './resource.js';
import { type DicomwebSource, isOfItem, type ReadItem, withCursor } from './source.js';

/** How far an Orthanc has been read. */
export interface OrthancCursor {
  /** `Last` of the change log: everything before is known once the first listing is done. */
  changes: number;
  /** The first listing of all instances: its next position and the instance before it. */
  listing?: { offset: number; before?: string };
}

const pageSize = 100;

/**
 * Where reading goes on: at the cursor, or at the beginning where there is none or the database was made anew; undefined when the source was
 * never read as an Orthanc and is none after all.
 */
export async function orthancPosition(
  source: DicomwebSource,
  cursor: OrthancCursor | undefined,
  signal: AbortSignal,
): Promise<OrthancCursor | undefined> {
  if (cursor !== undefined && !(await isMadeAnew(source, cursor, signal))) return cursor;
  try {
    return { changes: asChanges(await orthancJson(source, 'changes?last', signal)).Last, listing: { offset: 0 } };
  } catch (error) {
    // A page of a proxy where the log was before is no reason to list everything.
    const isNone = error instanceof SourceError && (error.code === 'not-found' || error.code === 'bad-response');
    if (isNone && cursor === undefined) return undefined;
    throw error;
  }
}

/**
 * A log that ends before the cursor belongs to a database that was made anew. What `?last` says would mislead: deleting a study takes its entries
 * out of the log.
 */
async function isMadeAnew(source: DicomwebSource, { changes }: OrthancCursor, signal: AbortSignal): Promise<boolean> {
  const next = await changesAfter(source, changes, 1, signal);
  return next.Changes.length === 0 && next.Last < changes;
}

/** Whether the log goes on after the cursor: one request, which costs an Orthanc less than a millisecond. */
export async function hasOrthancNews(source: DicomwebSource, cursor: OrthancCursor, signal: AbortSignal): Promise<boolean> {
  if (cursor.listing) return true;
  const next = await changesAfter(source, cursor.changes, 1, signal);
  return next.Changes.length > 0 || next.Last !== cursor.changes;
}

/** First every instance that is there, for change logs can be cleared, then the change log from where it stood before. */
export async function* orthancChanges(source: DicomwebSource, from: OrthancCursor, signal: AbortSignal): AsyncGenerator<Change> {
  if (from.listing) yield* listInstances(source, from.changes, from.listing, signal);
  yield* readLog(source, from.changes, signal);
}

async function* listInstances(
  source: DicomwebSource,
  changes: number,
  listing: { offset: number; before?: string },
  signal: AbortSignal,
): AsyncGenerator<Change> {
  let { offset, before } = listing;
  for (;;) {
    // The page begins with the last known instance; when that has moved, some were deleted, and the listing steps back.
    const since = Math.max(0, offset - 1);
    const page = await orthancJson(source, `instances?since=${since}&limit=${pageSize + 1}`, signal);
    if (!Array.isArray(page)) throw new SourceError('bad-response', 'The source answers no list of instances.');
    const ids = page.filter(isOrthancId);
    if (before !== undefined && ids[0] !== before && offset > 0) {
      offset = Math.max(0, offset - pageSize);
      before = undefined;
      continue;
    }
    const fresh = before === undefined ? ids : ids.slice(1);
    if (fresh.length === 0) break;
    offset = since + page.length;
    before = fresh.at(-1);
    yield* withCursor(await readInstances(source, fresh, signal), { changes, listing: { offset, before } });
  }
  yield { kind: 'checkpoint', cursor: JSON.stringify({ changes } satisfies OrthancCursor) };
}

async function* readLog(source: DicomwebSource, since: number, signal: AbortSignal): AsyncGenerator<Change> {
  for (let position = since; ; ) {
    const { Changes, Last, Done } = await changesAfter(source, position, pageSize, signal);
    const stored = Changes.filter((change) => change?.ChangeType === 'NewInstance' && isOrthancId(change.ID)).map(
      (change) => change.ID,
    );
    if (Last > position) yield* withCursor(await readInstances(source, [...new Set(stored)], signal), { changes: Last });
    if (Done || Last <= position) return;
    position = Last;
  }
}

/** Describes instances by Orthanc's identifiers, joined by study; those that are deleted by now are left out. */
async function readInstances(source: DicomwebSource, ids: string[], signal: AbortSignal): Promise<Change[]> {
  const parents = new Map<string, Promise<unknown>>();
  const get = <T>(path: string): Promise<T> => {
    const known = parents.get(path) ?? orthancJson(source, path, signal);
    parents.set(path, known);
    return known as Promise<T>;
  };
  const read = await mapConcurrently(ids, source.maxConcurrent, (id) => readOne(source, id, get, signal));
  const items = read.filter((item) => item !== undefined);
  const studies = mergeStudies(items.flatMap((item) => (item.kind === 'study' ? [item.study] : [])));
  return [...studies.map((study) => ({ kind: 'study' as const, study })), ...items.filter((item) => item.kind === 'unreadable')];
}

async function readOne(
  source: DicomwebSource,
  id: string,
  get: <T>(path: string) => Promise<T>,
  signal: AbortSignal,
): Promise<ReadItem | undefined> {
  try {
    const instance = (await orthancJson(source, `instances/${id}`, signal)) as OrthancInstance;
    const series = await get<OrthancSeries>(`series/${checkedId(instance.ParentSeries)}`);
    const study = await get<OrthancStudy>(`studies/${checkedId(series.ParentStudy)}`);
    const { TransferSyntax } = (await orthancJson(source, `instances/${id}/metadata?expand`, signal)) as OrthancMetadata;
    const uids = {
      studyInstanceUid: checkedUid(study.MainDicomTags?.StudyInstanceUID),
      seriesInstanceUid: checkedUid(series.MainDicomTags?.SeriesInstanceUID),
      sopInstanceUid: checkedUid(instance.MainDicomTags?.SOPInstanceUID),
    };
    return await readInstance(
      source,
      uids,
      signal,
      typeof TransferSyntax === 'string' && isUid(TransferSyntax) ? TransferSyntax : undefined,
    );
  } catch (error) {
    if (error instanceof SourceError && error.code === 'not-found') return undefined;
    if (!(await isOfItem(source, error, signal))) throw error;
    return {
      kind: 'unreadable',
      item: { locator: `orthanc/instances/${id}`, reason: 'source-error', detail: (error as SourceError).message },
    };
  }
}

/** Reads an instance again whose unique identifiers are not known, by Orthanc's identifier. */
export async function retryOrthancInstance(
  source: DicomwebSource,
  id: string,
  signal: AbortSignal,
): Promise<ReadItem | undefined> {
  return readOne(source, id, (path) => orthancJson(source, path, signal) as never, signal);
}

async function orthancJson(source: DicomwebSource, path: string, signal: AbortSignal): Promise<object> {
  const reply = await source.client.json(urlBelow(source.orthancUrl ?? '', path), 'application/json', signal);
  if (reply === null || typeof reply !== 'object')
    throw new SourceError('bad-response', 'The source answers no object where one is due.');
  return reply;
}

const changesAfter = async (source: DicomwebSource, since: number, limit: number, signal: AbortSignal) =>
  asChanges(await orthancJson(source, `changes?since=${since}&limit=${limit}`, signal));

function asChanges(reply: object): OrthancChanges {
  const { Changes, Last, Done } = reply as Partial<OrthancChanges>;
  if (!Array.isArray(Changes) || !Number.isSafeInteger(Last))
    throw new SourceError('bad-response', 'The source answers no change log.');
  return { Changes, Last: Last as number, Done: Done === true };
}

/** Orthanc's identifiers are SHA-1 hashes in five groups; nothing else becomes part of a path. */
export const isOrthancId = (id: unknown): id is string => typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{8}){4}$/.test(id);

function checkedId(id: unknown): string {
  if (!isOrthancId(id)) throw new SourceError('bad-response', 'The source answers an identifier that is none.');
  return id;
}

function checkedUid(uid: unknown): string {
  if (typeof uid !== 'string' || !isUid(uid))
    throw new SourceError('bad-response', 'The source states no valid UID for this instance.');
  return uid;
}
