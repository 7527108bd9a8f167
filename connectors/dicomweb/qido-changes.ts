import type { Change, IndexView } from '../connector.js';
import type { DicomJson } from '../dicom/values.js';
import { claimOf, readStudyOf } from './read-studies.js';
import type { SeenStudies } from './seen-studies.js';
import { type DicomwebSource, firstHeld, queryPages, uidIn, withCursor } from './source.js';

/** How far a source without a change log has been read. */
export interface QidoCursor {
  /** Start of the last complete listing of everything, ms since 1970. */
  fullAt?: number;
  /** The listing that is going on: when it began, its next study, and the study date that it begins at unless it is of everything. */
  listing?: { startedAt: number; offset: number; from?: string };
}

export interface QidoPolicy {
  /** A listing of everything is due after so long, ms; in between only recent studies are listed. */
  fullListingMs: number;
  /** Studies of the last days are listed each time. */
  recentDays: number;
}

const day = 24 * 60 * 60 * 1000;

/**
 * QIDO-RS has no change log, so studies are listed again: recent ones each time, all of them once a day. Recent ones whose row reads as it did are
 * not read again. A study that another one's deletion pushed over the edge of a page is found by the next listing.
 */
export async function* qidoChanges(
  source: DicomwebSource,
  seen: SeenStudies,
  cursor: QidoCursor,
  policy: QidoPolicy,
  signal: AbortSignal,
  index?: IndexView,
): AsyncGenerator<Change> {
  const listing = cursor.listing ?? beginListing(cursor, policy, Date.now());
  const { fullAt } = cursor;
  const claims = new Map<string, number | undefined>();
  const rows = queryPages(source, 'studies', '0020000D', signal, queryOf(listing), listing.offset);
  for await (const { offset, entries } of rows) {
    for (const [i, entry] of entries.entries()) {
      const next: QidoCursor = { fullAt, listing: { ...listing, offset: offset + i + 1 } };
      const uid = uidIn(entry, '0020000D');
      if (uid !== undefined) claims.set(uid, claimOf(entry));
      if (uid === undefined) yield { ...unidentified(offset + i), cursor: JSON.stringify(next) };
      else if (listing.from === undefined || !seen.isRead(entry)) yield* readEntry(source, seen, entry, next, signal);
    }
  }
  // A listing that went on from the middle knows nothing of its beginning.
  if (cursor.listing === undefined || cursor.listing.offset === 0) yield* goneOf(source, seen, listing.from, claims, index);
  const done: QidoCursor = { fullAt: listing.from === undefined ? listing.startedAt : fullAt };
  yield { kind: 'checkpoint', cursor: JSON.stringify(done) };
}

/** Whether a listing is due that brings more than is known: of everything, or of recent studies with a row that was not seen before. */
export async function hasQidoNews(
  source: DicomwebSource,
  seen: SeenStudies,
  cursor: QidoCursor,
  policy: QidoPolicy,
  signal: AbortSignal,
): Promise<boolean> {
  const listing = cursor.listing ?? beginListing(cursor, policy, Date.now());
  if (cursor.listing || listing.from === undefined) return true;
  const uids = new Set<string>();
  for await (const { entries } of queryPages(source, 'studies', '0020000D', signal, queryOf(listing))) {
    for (const entry of entries) {
      const uid = uidIn(entry, '0020000D');
      if (uid === undefined) continue;
      if (!seen.isSeen(entry)) return true;
      uids.add(uid);
    }
  }
  return seen.missingFrom({ from: listing.from, uids }).length > 0;
}

/**
 * Hints at studies that a complete listing no longer has: of recent ones those that the listing before had, of all those of the index, and those of
 * which the index holds more.
 * @param claims the studies that were listed, with the number of instances that was stated.
 */
async function* goneOf(
  source: DicomwebSource,
  seen: SeenStudies,
  from: string | undefined,
  claims: ReadonlyMap<string, number | undefined>,
  index: IndexView | undefined,
): AsyncGenerator<Change> {
  const uids = new Set(claims.keys());
  if (from === undefined) {
    if (!index) return;
    source.witnesses = await firstHeld(index, uids);
    for await (const known of index.studies())
      for (const { studyInstanceUid, instances } of known)
        if (!uids.has(studyInstanceUid) || instances > (claims.get(studyInstanceUid) ?? instances))
          yield { kind: 'removed', studyInstanceUid };
    return;
  }
  source.witnesses = seen.stillIn({ from, uids });
  for (const studyInstanceUid of seen.missingFrom({ from, uids })) yield { kind: 'removed', studyInstanceUid };
  seen.listed({ from, uids });
}

/** Counts, the description and the accession number are asked for, so that a row reads otherwise when the study grew or was corrected. */
function queryOf({ from }: NonNullable<QidoCursor['listing']>): [string, string][] {
  const fields = ['00201206', '00201208', '00081030', '00080050'].map((tag): [string, string] => ['includefield', tag]);
  return from === undefined ? fields : [...fields, ['StudyDate', `${from}-`]];
}

/** Noted as read once the last change of it was taken. One that the source states to have lost objects is looked at as a whole first. */
async function* readEntry(
  source: DicomwebSource,
  seen: SeenStudies,
  entry: DicomJson,
  next: QidoCursor,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  if (seen.hadMore(entry)) yield { kind: 'removed', studyInstanceUid: uidIn(entry, '0020000D') ?? '' };
  let wasRead = true;
  for await (const change of withLastCursor(readStudyOf(source, entry, signal), next)) {
    wasRead &&= change.kind !== 'unreadable';
    yield change;
  }
  seen.note(entry, wasRead);
}

function beginListing(
  { fullAt }: QidoCursor,
  { fullListingMs, recentDays }: QidoPolicy,
  now: number,
): NonNullable<QidoCursor['listing']> {
  if (fullAt === undefined || fullAt > now || now - fullAt >= fullListingMs) return { startedAt: now, offset: 0 };
  const from = new Date(now - recentDays * day).toISOString().slice(0, 10).replaceAll('-', '');
  return { startedAt: now, offset: 0, from };
}

function unidentified(offset: number): Change {
  const detail = 'The source lists a study without a valid Study Instance UID.';
  return { kind: 'unreadable', item: { locator: `studies?offset=${offset}`, reason: 'missing-identifier', detail } };
}

/** Hands changes on as they come, one behind, so that the last one can carry the cursor. */
async function* withLastCursor(changes: AsyncIterable<Change>, cursor: QidoCursor): AsyncGenerator<Change> {
  let held: Change[] = [];
  for await (const change of changes) {
    yield* held;
    held = [change];
  }
  yield* withCursor(held, cursor);
}
