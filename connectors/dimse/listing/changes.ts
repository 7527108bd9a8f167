import type { Change, IndexView } from '../../connector.js';
import { text } from '../../dicom/describe.js';
import type { DicomJson } from '../../dicom/values.js';
import { mapConcurrently } from '../../map-concurrently.js';
import { type Cursor, parseCursor } from './cursor.js';
import { type Day, earliest, latest, type Span, today } from './dates.js';
import { enrol, goneFromIndex, type Recent, type Roll } from './gone.js';
import { type Habits, type Listed, listStudies, listUndated } from './list-studies.js';
import { countOfStudy, type Reading, readStudy } from './read-study.js';

/** When a PACS, which has no change log, is listed again. */
export interface Policy {
  /** Studies of so many days before today are listed with every look. */
  freshDays: number;
  /** Studies of so many days are listed again after so long, ms. */
  recentDays: number;
  recentMs: number;
  /** Everything is listed again after so long, ms. */
  fullMs: number;
}

/** What a listing works with. */
export interface Listing {
  reading: Reading;
  habits: Habits;
  recent: Recent;
  policy: Policy;
  /** Studies that are read at once. */
  maxConcurrent: number;
}

/** A long listing looks for what is fresh in between, so often, ms. */
const lookMs = 5_000;
const firstWindow = 7;
const longestWindow = 3_650;
/** Windows become shorter above so many studies, and longer below a quarter of them. */
const fullWindow = 400;
/** What is older is asked for at once. */
const oldest = earliest + 85 * 365;

/**
 * What is new at the PACS. Every look lists the studies of the last days; now and then recent ones are listed again, to see what grew, and everything, which goes
 * backward from today by windows of Study Dates. The cursor is where that stands; studies that are listed as they were taken before cost nothing more.
 * Those that are listed no longer, or otherwise than they were taken, are hinted at.
 * @throws SourceError when the source as a whole fails.
 */
export async function* listChanges(
  listing: Listing,
  cursor: string | undefined,
  signal: AbortSignal,
  index?: IndexView,
): AsyncGenerator<Change> {
  if (cursor === undefined) listing.reading.memory.clear();
  const at = parseCursor(cursor);
  const look = new Look(listing, signal);
  yield* look.fresh();
  const { policy } = listing;
  const now = Date.now();
  if (at.listing || isDue(at.fullAt, policy.fullMs, now)) return yield* look.everything(at, index);
  if (!isDue(at.recentAt, policy.recentMs, now)) return;
  yield* look.recent();
  yield checkpoint({ ...at, recentAt: now });
}

/** Whether studies of the last days are listed otherwise than they were taken. @throws SourceError. */
export async function hasNews({ reading, habits, policy, recent }: Listing): Promise<boolean> {
  if (habits.ignoresDates) return false;
  const span = recentSpan(reading, policy.freshDays);
  const { studies } = await listStudies(reading.finder, span, habits);
  return (
    studies.some((study) => !reading.memory.isKnown(uidOf(study), study)) || recent.missing(span.from, uidsOf(studies)).length > 0
  );
}

class Look {
  private lastFresh = 0;

  constructor(
    private readonly listing: Listing,
    private readonly signal: AbortSignal,
  ) {}

  async *fresh(): AsyncGenerator<Change> {
    yield* this.span(recentSpan(this.listing.reading, this.listing.policy.freshDays));
    this.lastFresh = performance.now();
  }

  async *recent(): AsyncGenerator<Change> {
    yield* this.span(recentSpan(this.listing.reading, this.listing.policy.recentDays));
  }

  async *everything(at: Cursor, index: IndexView | undefined): AsyncGenerator<Change> {
    const { reading, habits, policy } = this.listing;
    // A listing that goes on from the middle knows nothing of its beginning.
    const roll: Roll | undefined = at.listing ? undefined : new Map();
    at.listing ??= { startedAt: Date.now(), to: latest, days: firstWindow };
    const { listing } = at;
    let isWhole = true;
    while (listing.to >= earliest && !habits.ignoresDates) {
      const span = { from: beginOf(listing, recentSpan(reading, policy.freshDays).from), to: listing.to };
      const listed = await listStudies(reading.finder, span, habits);
      yield* this.studies(listed, span, true);
      if (roll) enrol(roll, listed.studies, reading.memory);
      isWhole &&= listed.isWhole;
      if (listed.studies.length > fullWindow) listing.days = Math.max(1, Math.floor(listing.days / 2));
      if (listed.studies.length < fullWindow / 4) listing.days = Math.min(longestWindow, listing.days * 2);
      listing.to = span.from - 1;
      yield checkpoint(at);
    }
    const undated = await listUndated(reading.finder, habits);
    yield* this.studies(undated, { from: earliest, to: latest }, true);
    if (roll && isWhole && undated.isWhole) {
      enrol(roll, undated.studies, reading.memory);
      yield* goneFromIndex(roll, index, reading.memory);
    }
    at.fullAt = listing.startedAt;
    at.recentAt = listing.startedAt;
    delete at.listing;
    yield checkpoint(at);
  }

  private async *span(span: Span): AsyncGenerator<Change> {
    const { reading, habits, recent } = this.listing;
    const listed = habits.ignoresDates
      ? await listUndated(reading.finder, habits)
      : await listStudies(reading.finder, span, habits);
    yield* this.studies(listed, span, false);
    if (!listed.isWhole) return;
    const uids = uidsOf(listed.studies);
    for (const studyInstanceUid of recent.missing(span.from, uids)) {
      yield { kind: 'removed', studyInstanceUid };
      // It may come back as it was.
      reading.memory.forget(studyInstanceUid);
    }
    recent.listed(span.from, uids);
  }

  /** What was taken is remembered once its changes were: whoever takes them asks for the next one then. */
  private async *studies({ studies, isWhole }: Listed, span: Span, isLong: boolean): AsyncGenerator<Change> {
    const { reading, maxConcurrent } = this.listing;
    if (!isWhole) yield keptBack(span);
    const changed = latestFirst(studies).filter((study) => !reading.memory.isKnown(uidOf(study), study));
    for (let i = 0; i < changed.length; i += maxConcurrent) {
      this.signal.throwIfAborted();
      if (isLong && performance.now() - this.lastFresh > lookMs) yield* this.fresh();
      const batch = changed.slice(i, i + maxConcurrent);
      for (const { changes, remember } of await mapConcurrently(batch, maxConcurrent, (study) => this.read(study))) {
        yield* changes;
        remember();
      }
    }
  }

  /** A study that is listed otherwise than it was taken is looked at as a whole, then read again. */
  private async read(study: DicomJson): Promise<{ changes: Change[]; remember(): void }> {
    const { reading } = this.listing;
    const uid = uidOf(study);
    if (!reading.memory.isOtherwise(uid, study, countOfStudy(study))) return readStudy(reading, study);
    return {
      changes: [{ kind: 'removed', studyInstanceUid: uid }],
      remember: () => reading.memory.remember(uid, study, false, 0),
    };
  }
}

/** What lies ahead of today is one window, and so is what is very old. */
function beginOf({ to, days }: NonNullable<Cursor['listing']>, recent: Day): Day {
  if (to === latest) return recent;
  return to < oldest ? earliest : to - days + 1;
}

/** So many days before today, today, and what is dated ahead, where the PACS stands. */
const recentSpan = ({ defaultUtcOffset }: Reading, days: number): Span => ({
  from: today(Date.now(), defaultUtcOffset) - days,
  to: latest,
});

const isDue = (lastAt: number | undefined, afterMs: number, now: number): boolean =>
  lastAt === undefined || lastAt > now || now - lastAt >= afterMs;

const checkpoint = (cursor: Cursor): Change => ({ kind: 'checkpoint', cursor: JSON.stringify(cursor) });

function keptBack(span: Span): Change {
  const detail = 'The PACS lists more studies of a day than it gives in one answer: some may be missing.';
  return { kind: 'unreadable', item: { locator: `days/${span.from}-${span.to}`, reason: 'source-error', detail } };
}

const latestFirst = (studies: readonly DicomJson[]): DicomJson[] =>
  [...studies].sort((a, b) => (whenOf(a) < whenOf(b) ? 1 : whenOf(a) > whenOf(b) ? -1 : 0));
const uidOf = (study: DicomJson): string => text(study, '0020000D') ?? '';
const uidsOf = (studies: readonly DicomJson[]): Set<string> => new Set(studies.map(uidOf));
const whenOf = (study: DicomJson): string => `${text(study, '00080020') ?? ''}${text(study, '00080030') ?? ''}`;
