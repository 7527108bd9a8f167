import { createHash } from 'node:crypto';
import type { DicomJson } from '../../dicom/values.js';

/** What a PACS listed when something was last taken, so that only what changed is asked for again. It is rebuilt after a restart by asking once more. */
export interface Memory {
  /** Whether this was taken as it is listed now, and need not be looked at again yet. */
  isKnown(uid: string, listed: DicomJson): boolean;
  /** Whether it is listed otherwise than it was taken, in more than having grown. @param instances that it has now, where the listing tells. */
  isOtherwise(uid: string, listed: DicomJson, instances?: number): boolean;
  /**
   * @param isSettled a change would show in what is listed; otherwise it is looked at again after a minute, then less and less often.
   * @param instances that were found.
   */
  remember(uid: string, listed: DicomJson, isSettled: boolean, instances: number): void;
  /** Instances that were found when it was taken. */
  found(uid: string): number | undefined;
  /** Forgets what was taken under this UID and below it (`study/series`). */
  forget(uid: string): void;
  clear(): void;
}

interface Known {
  print: string;
  /** Of all but the counts. */
  statement: string;
  instances: number;
  until: number;
  restMs: number;
}

const firstRestMs = 60_000;
const longestRestMs = 15 * 60_000;
/** Numbers of Study and Series Related Series and Instances. */
const counts = new Set(['00201206', '00201208', '00201209']);

/** @param most entries; the oldest are forgotten. */
export function createMemory(most = 200_000, now: () => number = Date.now): Memory {
  const known = new Map<string, Known>();
  const find = (uid: string, listed: DicomJson): Known | undefined => {
    const entry = known.get(uid);
    return entry?.print === fingerprint(listed) ? entry : undefined;
  };
  return {
    isKnown: (uid, listed) => now() < (find(uid, listed)?.until ?? Number.NEGATIVE_INFINITY),
    isOtherwise(uid, listed, instances = Number.POSITIVE_INFINITY) {
      const entry = known.get(uid);
      return entry !== undefined && (entry.statement !== fingerprint(withoutCounts(listed)) || instances < entry.instances);
    },
    remember(uid, listed, isSettled, instances) {
      const restMs = Math.min((find(uid, listed)?.restMs ?? firstRestMs / 2) * 2, longestRestMs);
      const until = isSettled ? Number.POSITIVE_INFINITY : now() + restMs;
      known.delete(uid);
      known.set(uid, { print: fingerprint(listed), statement: fingerprint(withoutCounts(listed)), instances, until, restMs });
      if (known.size > most) known.delete(known.keys().next().value!);
    },
    found: (uid) => known.get(uid)?.instances,
    forget: (uid) => {
      for (const key of known.keys()) if (key === uid || key.startsWith(`${uid}/`)) known.delete(key);
    },
    clear: () => known.clear(),
  };
}

const withoutCounts = (listed: DicomJson): DicomJson =>
  Object.fromEntries(Object.entries(listed).filter(([tag]) => !counts.has(tag)));

/** Short, for there are many. */
const fingerprint = (listed: DicomJson): string =>
  createHash('sha256').update(JSON.stringify(listed)).digest('base64').slice(0, 12);
