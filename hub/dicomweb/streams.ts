import { tooMany } from '../outcomes.js';

/** Counts what runs for each caller. */
export interface StreamSlots {
  /** Takes a slot. @returns what gives it back; more than once does no harm. @throws Refusal 429 when the caller has no more. */
  take(callerId: string): () => void;
}

export function createStreamSlots(most: number): StreamSlots {
  const running = new Map<string, number>();
  return {
    take(callerId) {
      const now = running.get(callerId) ?? 0;
      if (now >= most) throw tooMany('Too many retrievals of yours are running.');
      running.set(callerId, now + 1);
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        const left = (running.get(callerId) ?? 1) - 1;
        if (left > 0) running.set(callerId, left);
        else running.delete(callerId);
      };
    },
  };
}
