import { SourceError } from './connector.js';

/** Protects a source: few requests at once, and a rest after repeated failures. */
export interface Gate {
  /**
   * Waits for a free place. Call the result once, with whether the source did its part.
   * @throws SourceError `unreachable` while the source rests or too many wait already.
   */
  enter(signal?: AbortSignal): Promise<(didAnswer: boolean) => void>;
}

export interface GateSettings {
  maxConcurrent: number;
  /** Requests that may wait for a place. */
  maxWaiting?: number;
  /** So many failures one after the other open the circuit. */
  maxFailures?: number;
  /** How long it stays open, ms; one request then tries whether the source is back. */
  restMs?: number;
  now?: () => number;
}

/** A bulkhead and a circuit breaker for one source. */
export function createGate({
  maxConcurrent,
  maxWaiting = 1_000,
  maxFailures = 5,
  restMs = 15_000,
  now = Date.now,
}: GateSettings): Gate {
  const waiting: (() => void)[] = [];
  let inside = 0;
  let failures = 0;
  let restsUntil = 0;
  let isTrying = false;

  function leave(didAnswer: boolean): void {
    inside -= 1;
    isTrying = false;
    failures = didAnswer ? 0 : failures + 1;
    if (failures >= maxFailures) restsUntil = now() + restMs;
    waiting.shift()?.();
  }

  /** While it rests nobody enters; after that one at a time, until one is answered. */
  function refuseWhileResting(): void {
    if (failures < maxFailures) return;
    if (isTrying || now() < restsUntil)
      throw new SourceError('unreachable', 'The source is left alone for a while after repeated failures.');
  }

  return {
    async enter(signal) {
      signal?.throwIfAborted();
      refuseWhileResting();
      while (inside >= maxConcurrent) {
        if (waiting.length >= maxWaiting) throw new SourceError('unreachable', 'Too many requests wait for the source.');
        await turn(waiting, signal);
        refuseWhileResting();
      }
      inside += 1;
      isTrying = failures >= maxFailures;
      let hasLeft = false;
      return (didAnswer) => {
        if (!hasLeft) leave(didAnswer);
        hasLeft = true;
      };
    },
  };
}

/** Resolves when its turn comes, which a `shift` of the line gives; an aborted wait gives up its place in the line. */
export function turn(waiting: (() => void)[], signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      waiting.splice(waiting.indexOf(proceed), 1);
      reject(signal?.reason);
    };
    const proceed = () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    };
    waiting.push(proceed);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
