import { createHash } from 'node:crypto';
import type { DicomJson } from '../../dicom/values.js';

/** What a PACS listed when something was last taken, so that only what changed is asked for again. It is rebuilt after a restart by asking once more. */
export interface Memory {
  /** Whether this was taken as it is listed now, and need not be looked at again yet. */
  isKnown(uid: string, listed: DicomJson): boolean;
  /** @param isSettled a change would show in what is listed; otherwise it is looked at again after a minute, then less and less often. */
  remember(uid: string, listed: DicomJson, isSettled: boolean): void;
  clear(): void;
}

const firstRestMs = 60_000;
const longestRestMs = 15 * 60_000;

/** @param most entries; the oldest are forgotten. */
export function createMemory(most = 200_000, now: () => number = Date.now): Memory {
  const known = new Map<string, { print: string; until: number; restMs: number }>();
  const find = (uid: string, listed: DicomJson) => {
    const entry = known.get(uid);
    return entry?.print === fingerprint(listed) ? entry : undefined;
  };
  return {
    isKnown: (uid, listed) => now() < (find(uid, listed)?.until ?? Number.NEGATIVE_INFINITY),
    remember(uid, listed, isSettled) {
      const restMs = Math.min((find(uid, listed)?.restMs ?? firstRestMs / 2) * 2, longestRestMs);
      known.delete(uid);
      known.set(uid, { print: fingerprint(listed), until: isSettled ? Number.POSITIVE_INFINITY : now() + restMs, restMs });
      if (known.size > most) known.delete(known.keys().next().value!);
    },
    clear: () => known.clear(),
  };
}

/** Short, for there are many. */
const fingerprint = (listed: DicomJson): string =>
  createHash('sha256').update(JSON.stringify(listed)).digest('base64').slice(0, 12);
