import { type Change, type IndexView, SourceError } from '../connector.js';
import { checkedId, orthancJson } from './orthanc-client.js';
import { type DicomwebSource, firstHeld } from './source.js';

/**
 * Orthanc's change log does not say what was deleted: the entries of what is gone are gone from it. So the number of its instances is compared with
 * what the log lets expect, and where they differ all studies are counted once.
 */
export interface OrthancCount {
  /**
   * Whether there is another number of instances than `expected`. Where counting takes the source long it is not asked for each time, and where it does
   * not, each time that something was read.
   */
  isDoubtful(expected: number | undefined, wasRead: boolean, signal: AbortSignal): Promise<boolean>;
  /** Whether the last answer was yes. */
  isDoubted(): boolean;
  /** The number of instances when it was last asked for. */
  last(): number | undefined;
  /**
   * Hints at studies of which the index holds more than the source has; where the source has more than was expected, at those of which it holds
   * less, too.
   */
  compare(index: IndexView, expected: number | undefined, signal: AbortSignal): AsyncGenerator<Change>;
}

/** A source is busy with being counted at most one part in so many of the time. */
const share = 20;
/** What takes less than this is no burden, ms. */
const quick = { count: 20, comparison: 200 };
const page = { studies: 500, series: 200 };
const errorsOfCounting = new Set(['refused', 'not-found', 'bad-response']);

export function createOrthancCount(source: DicomwebSource): OrthancCount {
  let last: number | undefined;
  let isDoubted = false;
  let askAgain = 0;
  let tookMs = 0;
  let compareAgain = 0;
  return {
    async isDoubtful(expected, wasRead, signal) {
      const begin = Date.now();
      const isFree = isDoubted || begin >= askAgain || (wasRead && tookMs <= quick.count);
      if (begin < compareAgain || !isFree) return false;
      last = await instancesOf(source, signal);
      tookMs = Date.now() - begin;
      askAgain = Date.now() + tookMs * share;
      isDoubted = last !== undefined && last !== expected;
      return isDoubted;
    },
    isDoubted: () => isDoubted,
    last: () => last,
    async *compare(index, expected, signal) {
      const begin = Date.now();
      const counts = await countStudies(source, signal);
      const took = Date.now() - begin;
      compareAgain = Date.now() + (took <= quick.comparison ? 0 : took * share);
      isDoubted = false;
      const alsoMore = expected !== undefined && (last ?? 0) > expected;
      source.witnesses = await firstHeld(index, counts);
      for await (const known of index.studies()) {
        for (const { studyInstanceUid, instances } of known) {
          const now = counts.get(studyInstanceUid) ?? 0;
          counts.delete(studyInstanceUid);
          if (now < instances || (alsoMore && now > instances)) yield { kind: 'removed', studyInstanceUid };
        }
      }
      if (alsoMore) for (const studyInstanceUid of counts.keys()) yield { kind: 'removed', studyInstanceUid };
    },
  };
}

/** The number of instances that an Orthanc has; undefined when it does not tell. */
export async function instancesOf(source: DicomwebSource, signal: AbortSignal): Promise<number | undefined> {
  try {
    const { CountInstances } = await orthancJson(source, '/statistics', {}, signal);
    return Number.isSafeInteger(CountInstances) ? CountInstances : undefined;
  } catch (error) {
    if (error instanceof SourceError && errorsOfCounting.has(error.code)) return undefined;
    throw error;
  }
}

/** Instances by Study Instance UID. What moves from page to page meanwhile is counted wrong, and looked at for nothing. */
async function countStudies(source: DicomwebSource, signal: AbortSignal): Promise<Map<string, number>> {
  const uids = new Map<string, string>();
  for await (const study of listed((query) => orthancJson(source, '/studies', { query }, signal), page.studies)) {
    const uid = study.MainDicomTags?.StudyInstanceUID;
    if (typeof uid === 'string' && typeof study.ID === 'string') uids.set(study.ID, uid);
  }
  const counts = new Map<string, number>();
  for await (const series of listed((query) => orthancJson(source, '/series', { query }, signal), page.series)) {
    const uid = uids.get(checkedId(series.ParentStudy));
    if (uid !== undefined) counts.set(uid, (counts.get(uid) ?? 0) + (series.Instances?.length ?? 0));
  }
  return counts;
}

interface Page {
  expand: '';
  since: number;
  limit: number;
}

async function* listed<T>(get: (page: Page) => Promise<T[]>, limit: number): AsyncGenerator<T> {
  for (let since = 0; ; since += limit) {
    const entries = await get({ expand: '', since, limit });
    if (!Array.isArray(entries)) throw new SourceError('bad-response', 'The source answers no list where one is due.');
    yield* entries.filter((entry) => entry !== null && typeof entry === 'object');
    if (entries.length < limit) return;
  }
}
