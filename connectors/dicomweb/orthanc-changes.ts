import { type Change, type IndexView, SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { isUid } from '../dicom/uid.js';
import { mapConcurrently } from '../map-concurrently.js';
import { changesAfter, checkedId, checkedUid, isOrthancId, lastOfLog, orthancJson } from './orthanc-client.js';
import { instancesOf, type OrthancCount } from './orthanc-count.js';
import type { OrthancSeries, OrthancStudy } from './orthanc-types.js';
import { readInstance } from './read-studies.js';
import { type DicomwebSource, isOfItem, type ReadItem, withCursor } from './source.js';

/** How far an Orthanc has been read. */
export interface OrthancCursor {
  /** `Last` of the change log: everything before is known once the first listing is done. */
  changes: number;
  /** Instances that the source had when the log was read so far. */
  count?: number;
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
    return { changes: await lastOfLog(source, signal), listing: { offset: 0 } };
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

/** Whether the log goes on after the cursor, or the number of instances is another: two requests that cost an Orthanc some milliseconds. */
export async function hasOrthancNews(
  source: DicomwebSource,
  count: OrthancCount,
  cursor: OrthancCursor,
  signal: AbortSignal,
): Promise<boolean> {
  if (cursor.listing) return true;
  const next = await changesAfter(source, cursor.changes, 1, signal);
  if (next.Changes.length > 0 || next.Last !== cursor.changes) return true;
  return count.isDoubtful(cursor.count, false, signal);
}

/** Entries of the change log that were not read yet; while everything is listed for the first time, instances that were not. */
export async function orthancBacklog(
  source: DicomwebSource,
  cursor: OrthancCursor | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (cursor && !cursor.listing) {
    const { Last } = await changesAfter(source, cursor.changes + 1_000_000_000, 1, signal);
    return Math.max(0, Last - cursor.changes);
  }
  const instances = await instancesOf(source, signal);
  return instances === undefined ? undefined : Math.max(0, instances - (cursor?.listing?.offset ?? 0));
}

/**
 * Whether the change log is the one that this process has read, though it may be empty by now. A log that is asked for what comes long after its end
 * says where it ends; one that repeats the question says nothing.
 */
export async function isSameOrthanc(source: DicomwebSource, signal: AbortSignal): Promise<boolean> {
  const read = source.readUntil ?? 0;
  if (source.orthancUrl === undefined || read === 0) return false;
  const { Last } = await changesAfter(source, read + 1_000_000_000, 1, signal);
  return Last >= read && Last <= read + 1_000_000;
}

/**
 * First every instance that is there, for change logs can be cleared, then the change log from where it stood before. Last the studies that have
 * fewer instances than the index, when instances are missing that the log did not tell of.
 */
export async function* orthancChanges(
  source: DicomwebSource,
  count: OrthancCount,
  from: OrthancCursor,
  signal: AbortSignal,
  index?: IndexView,
): AsyncGenerator<Change> {
  if (from.listing) yield* listInstances(source, from.changes, from.listing, signal);
  const log: Log = { position: from.changes, count: from.listing ? undefined : from.count };
  do {
    yield* readLog(source, log, signal);
    source.readUntil = log.position;
  } while (index && (await isBehind(source, count, log, signal)));
  if (!index || !count.isDoubted()) return;
  yield* count.compare(index, log.count, signal);
  yield { kind: 'checkpoint', cursor: cursorAt({ position: log.position, count: count.last() }) };
}

/** How far the log is read, and how many instances there are if nothing was deleted. */
interface Log {
  position: number;
  count: number | undefined;
}

const cursorAt = ({ position, count }: Log): string => JSON.stringify({ changes: position, count } satisfies OrthancCursor);

/** Counts, and looks whether something was stored meanwhile, which would be taken for a difference. */
async function isBehind(source: DicomwebSource, count: OrthancCount, log: Log, signal: AbortSignal): Promise<boolean> {
  if (!(await count.isDoubtful(log.count, true, signal))) return false;
  return (await changesAfter(source, log.position, 1, signal)).Changes.length > 0;
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
    const page = await orthancJson(source, '/instances', { query: { since, limit: pageSize + 1 } }, signal);
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
    yield* withCursor(await readInstances(source, fresh, signal), {
      changes,
      listing: { offset, before },
    } satisfies OrthancCursor);
  }
  yield { kind: 'checkpoint', cursor: JSON.stringify({ changes } satisfies OrthancCursor) };
}

/** Reads the log to its end, and adds to the count what was stored by it. */
async function* readLog(source: DicomwebSource, log: Log, signal: AbortSignal): AsyncGenerator<Change> {
  for (;;) {
    const { Changes, Last, Done } = await changesAfter(source, log.position, pageSize, signal);
    if (Last <= log.position) return;
    const stored = new Set(
      Changes.filter((change) => change?.ChangeType === 'NewInstance' && isOrthancId(change.ID)).map((change) => change.ID),
    );
    const next: Log = { position: Last, count: log.count === undefined ? undefined : log.count + stored.size };
    yield* withCursor(await readInstances(source, [...stored], signal), { changes: next.position, count: next.count });
    Object.assign(log, next);
    if (Done) return;
  }
}

/** Describes instances by Orthanc's identifiers, joined by study; those that are deleted by now are left out. */
async function readInstances(source: DicomwebSource, ids: string[], signal: AbortSignal): Promise<Change[]> {
  const parents = parentsOf(source, signal);
  const read = await mapConcurrently(ids, source.maxConcurrent, (id) => readOne(source, id, parents, signal));
  const items = read.filter((item) => item !== undefined);
  const studies = mergeStudies(items.flatMap((item) => (item.kind === 'study' ? [item.study] : [])));
  return [...studies.map((study) => ({ kind: 'study' as const, study })), ...items.filter((item) => item.kind === 'unreadable')];
}

/** What is above instances, each read once. */
interface Parents {
  series(id: string): Promise<OrthancSeries>;
  study(id: string): Promise<OrthancStudy>;
}

const parentsOf = (source: DicomwebSource, signal: AbortSignal): Parents => ({
  series: once((id) => orthancJson(source, '/series/{id}', { path: { id } }, signal)),
  study: once((id) => orthancJson(source, '/studies/{id}', { path: { id } }, signal)),
});

function once<T>(get: (id: string) => Promise<T>): (id: string) => Promise<T> {
  const read = new Map<string, Promise<T>>();
  return (id) => {
    const answer = read.get(id) ?? get(id);
    read.set(id, answer);
    return answer;
  };
}

async function readOne(source: DicomwebSource, id: string, parents: Parents, signal: AbortSignal): Promise<ReadItem | undefined> {
  try {
    const instance = await orthancJson(source, '/instances/{id}', { path: { id } }, signal);
    const series = await parents.series(checkedId(instance.ParentSeries));
    const study = await parents.study(checkedId(series.ParentStudy));
    const expanded = { path: { id }, query: { expand: '' } };
    const { TransferSyntax } = await orthancJson(source, '/instances/{id}/metadata', expanded, signal);
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
  return readOne(source, id, parentsOf(source, signal), signal);
}
