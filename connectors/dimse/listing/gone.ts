import type { Change, IndexView } from '../../connector.js';
import { text } from '../../dicom/describe.js';
import type { DicomJson } from '../../dicom/values.js';
import type { Memory } from './memory.js';
import { countOfStudy } from './read-study.js';

/** Studies that a listing of everything had, with as many instances as are stated or were found, whatever is more. */
export type Roll = Map<string, number>;

/** More studies than that are not compared: the roll is held in memory. */
const most = 2_000_000;

/** @param studies that were read. */
export function enrol(roll: Roll, studies: readonly DicomJson[], memory: Memory): void {
  for (const study of studies) {
    const uid = text(study, '0020000D') ?? '';
    roll.set(uid, Math.max(countOfStudy(study) ?? 0, memory.found(uid) ?? 0) || Number.POSITIVE_INFINITY);
  }
}

/** Hints at studies of the index that a complete listing no longer has, or has with fewer instances. */
export async function* goneFromIndex(roll: Roll, index: IndexView | undefined, memory: Memory): AsyncGenerator<Change> {
  if (!index || roll.size > most) return;
  for await (const page of index.studies())
    for (const { studyInstanceUid, instances } of page)
      if ((roll.get(studyInstanceUid) ?? 0) < instances) {
        yield { kind: 'removed', studyInstanceUid };
        memory.forget(studyInstanceUid);
      }
}

/** What consecutive listings of the last days had. */
export interface Recent {
  /** Studies that were listed before in this span and are not now. */
  missing(from: number, uids: ReadonlySet<string>): string[];
  listed(from: number, uids: ReadonlySet<string>): void;
}

export function createRecent(): Recent {
  const before = new Map<number, ReadonlySet<string>>();
  return {
    missing: (from, uids) => [...(before.get(from) ?? [])].filter((uid) => !uids.has(uid)),
    listed: (from, uids) => {
      // Yesterday's spans are over.
      if (before.size > 4) before.clear();
      before.set(from, uids);
    },
  };
}
