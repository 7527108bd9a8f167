import type { Change } from '../../connector.js';
import { text } from '../../dicom/describe.js';
import type { DicomJson } from '../../dicom/values.js';
import { mapConcurrently } from '../../map-concurrently.js';
import { type Cursor, parseCursor } from './cursor.js';
import { earliest, latest, type Span, today } from './dates.js';
import { type Habits, type Listed, listStudies, listUndated } from './list-studies.js';
import { type Reading, readStudy } from './read-study.js';

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
 * @throws SourceError when the source as a whole fails.
 */
export async function* listChanges(listing: Listing, cursor: string | undefined, signal: AbortSignal): AsyncGenerator<Change> {
  if (cursor === undefined) listing.reading.memory.clear();
  const at = parseCursor(cursor);
  const look = new Look(listing, signal);
  yield* look.fresh();
  const { policy } = listing;
  const now = Date.now();
  if (at.listing || isDue(at.fullAt, policy.fullMs, now)) return yield* look.everything(at);
  if (!isDue(at.recentAt, policy.recentMs, now)) return;
  yield* look.recent();
  yield checkpoint({ ...at, recentAt: now });
}

/** Whether studies of the last days are listed otherwise than they were taken. @throws SourceError. */
export async function hasNews({ reading, habits, policy }: Listing): Promise<boolean> {
  if (habits.ignoresDates) return false;
  const { studies } = await listStudies(reading.finder, recentSpan(reading, policy.freshDays), habits);
  return studies.some((study) => !reading.memory.isKnown(text(study, '0020000D') ?? '', study));
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

  async *everything(at: Cursor): AsyncGenerator<Change> {
    const { reading, habits, policy } = this.listing;
    at.listing ??= { startedAt: Date.now(), to: latest, days: firstWindow };
    const { listing } = at;
    while (listing.to >= earliest && !habits.ignoresDates) {
      // What lies ahead of today is one window, and so is what is very old.
      const from =
        listing.to === latest
          ? recentSpan(reading, policy.freshDays).from
          : listing.to < oldest
            ? earliest
            : listing.to - listing.days + 1;
      const span = { from, to: listing.to };
      const listed = await listStudies(reading.finder, span, habits);
      yield* this.studies(listed, span, true);
      if (listed.studies.length > fullWindow) listing.days = Math.max(1, Math.floor(listing.days / 2));
      if (listed.studies.length < fullWindow / 4) listing.days = Math.min(longestWindow, listing.days * 2);
      listing.to = from - 1;
      yield checkpoint(at);
    }
    yield* this.studies(await listUndated(reading.finder, habits), { from: earliest, to: latest }, true);
    at.fullAt = listing.startedAt;
    at.recentAt = listing.startedAt;
    delete at.listing;
    yield checkpoint(at);
  }

  private async *span(span: Span): AsyncGenerator<Change> {
    const { reading, habits } = this.listing;
    const listed = habits.ignoresDates
      ? await listUndated(reading.finder, habits)
      : await listStudies(reading.finder, span, habits);
    yield* this.studies(listed, span, false);
  }

  /** What was taken is remembered once its changes were: whoever takes them asks for the next one then. */
  private async *studies({ studies, isWhole }: Listed, span: Span, isLong: boolean): AsyncGenerator<Change> {
    const { reading, maxConcurrent } = this.listing;
    if (!isWhole) yield keptBack(span);
    const changed = latestFirst(studies).filter((study) => !reading.memory.isKnown(text(study, '0020000D') ?? '', study));
    for (let i = 0; i < changed.length; i += maxConcurrent) {
      this.signal.throwIfAborted();
      if (isLong && performance.now() - this.lastFresh > lookMs) yield* this.fresh();
      const batch = changed.slice(i, i + maxConcurrent);
      for (const { changes, remember } of await mapConcurrently(batch, maxConcurrent, (study) => readStudy(reading, study))) {
        yield* changes;
        remember();
      }
    }
  }
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
const whenOf = (study: DicomJson): string => `${text(study, '00080020') ?? ''}${text(study, '00080030') ?? ''}`;
