import { tooMany } from '../outcomes.js';

/** Counts what runs for each caller. */
export interface StreamSlots {
  /** Takes a slot. @returns what gives it back; more than once does no harm. @throws Refusal 429 when the caller, or the process, has no more. */
  take(callerId: string): () => void;
}

/** @param most for one caller. @param mostInAll in this process. @param what is counted, in words. */
export function createStreamSlots(
  most: number,
  { mostInAll = Number.POSITIVE_INFINITY, what = 'retrievals' }: { mostInAll?: number; what?: string } = {},
): StreamSlots {
  const running = new Map<string, number>();
  let all = 0;
  return {
    take(callerId) {
      const now = running.get(callerId) ?? 0;
      if (now >= most) throw tooMany(`Too many ${what} of yours are running.`);
      if (all >= mostInAll) throw tooMany(`Too many ${what} are running.`, 5);
      running.set(callerId, now + 1);
      all++;
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        all--;
        const left = (running.get(callerId) ?? 1) - 1;
        if (left > 0) running.set(callerId, left);
        else running.delete(callerId);
      };
    },
  };
}
