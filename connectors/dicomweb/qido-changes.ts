import type { Change } from '../connector.js';
import { readStudyOf } from './read-studies.js';
import { type DicomwebSource, queryPages, uidIn, withCursor } from './source.js';

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
 * QIDO-RS has no change log, so studies are listed again: recent ones each time, all of them once a day. A study that another
 * one's deletion pushed over the edge of a page is found by the next listing.
 */
export async function* qidoChanges(
  source: DicomwebSource,
  cursor: QidoCursor,
  policy: QidoPolicy,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  const listing = cursor.listing ?? beginListing(cursor, policy, Date.now());
  const { fullAt } = cursor;
  const query: [string, string][] = [
    ['includefield', '00201206'],
    ['includefield', '00201208'],
    ...(listing.from === undefined ? [] : ([['StudyDate', `${listing.from}-`]] as [string, string][])),
  ];
  for await (const { offset, entries } of queryPages(source, 'studies', '0020000D', signal, query, listing.offset)) {
    for (const [i, entry] of entries.entries()) {
      const next: QidoCursor = { fullAt, listing: { ...listing, offset: offset + i + 1 } };
      if (uidIn(entry, '0020000D') === undefined) yield { ...unidentified(offset + i), cursor: JSON.stringify(next) };
      else yield* withLastCursor(readStudyOf(source, entry, signal), next);
    }
  }
  const done: QidoCursor = { fullAt: listing.from === undefined ? listing.startedAt : fullAt };
  yield { kind: 'checkpoint', cursor: JSON.stringify(done) };
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
