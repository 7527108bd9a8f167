import { createHash } from 'node:crypto';
import type { Change, IndexView } from '../connector.js';
import { locatorOf } from './locate.js';
import type { Steps } from './walk.js';

/** The files that the last complete scan of this process saw, by a hash of eight bytes each: what is missing from the next one is gone. */
export interface KnownFiles {
  beginScan(): Scan;
}

export interface Scan {
  saw(steps: Steps): void;
  /** A directory could not be listed: nothing is known of what is below it, and nothing is missing. */
  failed(): void;
  /** Whether a file that the last scan saw was not seen. */
  misses(): boolean;
  /** Hints at the studies of files that are missing; in the first scan the index says what there was. To be called at its end. */
  gone(index: IndexView): AsyncGenerator<Change>;
}

export function createKnownFiles(): KnownFiles {
  let known: ReadonlySet<bigint> | undefined;
  return {
    beginScan() {
      const seen = new Set<bigint>();
      let isComplete = true;
      const misses = (): boolean => {
        if (isComplete) for (const file of known ?? []) if (!seen.has(file)) return true;
        return false;
      };
      return {
        saw: (steps) => void seen.add(hashOf(locatorOf(steps))),
        failed: () => {
          isComplete = false;
        },
        misses,
        async *gone(index) {
          if (isComplete && (known === undefined || misses())) yield* missingStudies(index, seen);
          if (isComplete) known = seen;
        },
      };
    },
  };
}

async function* missingStudies(index: IndexView, seen: ReadonlySet<bigint>): AsyncGenerator<Change> {
  const told = new Set<string>();
  for await (const page of index.instances())
    for (const { locator, studyInstanceUid } of page) {
      if (seen.has(hashOf(locator)) || told.has(studyInstanceUid)) continue;
      told.add(studyInstanceUid);
      yield { kind: 'removed', studyInstanceUid };
    }
}

const hashOf = (locator: string): bigint => createHash('sha1').update(locator).digest().readBigUInt64BE();
