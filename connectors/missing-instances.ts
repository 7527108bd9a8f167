import type { IndexedInstance, StudyDescription, UnreadableItem } from './connector.js';

/** A series, or an instance of one, that an archive is asked for by itself. */
export interface Witness {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid?: string;
}

/** Missing series, and missing instances of a series that is there, that are asked for one by one; of more, so many. */
const mostAsked = 50;

/** What the index holds and the source did not show. What it listed and could not give is not missing. */
export function missingOf(
  indexed: readonly IndexedInstance[],
  studies: readonly StudyDescription[],
  unreadable: readonly UnreadableItem[],
): IndexedInstance[] {
  const shown = new Set(studies.flatMap((study) => study.series.flatMap((s) => s.instances.map((i) => i.sopInstanceUid))));
  const isListed = (one: IndexedInstance): boolean =>
    unreadable.some(
      (item) =>
        item.sopInstanceUid === one.sopInstanceUid ||
        (item.sopInstanceUid === undefined && (item.seriesInstanceUid ?? one.seriesInstanceUid) === one.seriesInstanceUid),
    );
  return indexed.filter((one) => !shown.has(one.sopInstanceUid) && !isListed(one));
}

/** What is asked for by itself: each missing series as a whole, each missing instance of a series that is there. */
export function witnesses(missing: readonly IndexedInstance[], studies: readonly StudyDescription[]): Witness[] {
  const there = new Set(studies.flatMap((study) => study.series.map((s) => s.seriesInstanceUid)));
  const series = new Map(missing.map((one) => [one.seriesInstanceUid, one]));
  const whole = [...series.values()].filter((one) => !there.has(one.seriesInstanceUid));
  const single = missing.filter((one) => there.has(one.seriesInstanceUid));
  return [
    ...whole.map(({ studyInstanceUid, seriesInstanceUid }) => ({ studyInstanceUid, seriesInstanceUid })),
    ...single.map(({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }) => ({
      studyInstanceUid,
      seriesInstanceUid,
      sopInstanceUid,
    })),
  ].slice(0, mostAsked);
}
