import { type Readable, Transform } from 'node:stream';

/** A stream goes on for at most so many bytes, and so many milliseconds, on one answer of the policy. */
const MOST_BYTES = 1024 * 1024;
const MOST_MS = 100;

/** The policy no longer allows what is being streamed: the rest does not leave. */
export class Revoked extends Error {
  constructor() {
    super('revoked');
    this.name = 'Revoked';
  }
}

/** Leave for bytes to go, on the policy's last answer or a new one. */
export interface Leave {
  /** Whether so many bytes more need a new answer. Those that need none are counted. */
  isDue(bytes: number): boolean;
  /** Asks, for these bytes. @throws Revoked when the policy says no; what it throws when it can't be asked. */
  ask(bytes: number): Promise<void>;
}

/** @param isAllowed asks the policy now. @param since milliseconds (`Date.now()`) of the answer that it began with. */
export function leaveWhileAllowed(isAllowed: () => Promise<boolean>, since: number): Leave {
  let asked = since;
  let left = 0;
  return {
    isDue: (bytes) => {
      if (left + bytes > MOST_BYTES || Date.now() - asked >= MOST_MS) return true;
      left += bytes;
      return false;
    },
    ask: async (bytes) => {
      const now = Date.now();
      const allowed = await isAllowed();
      asked = now;
      left = bytes;
      if (!allowed) throw new Revoked();
    },
  };
}

/**
 * The same bytes for as long as they are allowed: before more than a mebibyte leaves, or when the last answer is older than a tenth of a second, the
 * policy is asked again. When it says no, or can't be asked, the stream breaks off with an error, so that nothing half looks whole.
 * @param isAllowed asks the policy now. @param since milliseconds (`Date.now()`) of the answer that the retrieval began with.
 */
export function whileAllowed(body: Readable, isAllowed: () => Promise<boolean>, since: number): Readable {
  const leave = leaveWhileAllowed(isAllowed, since);
  const guard = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!leave.isDue(chunk.length)) {
        done(null, chunk);
        return;
      }
      leave.ask(chunk.length).then(
        () => done(null, chunk),
        (error: Error) => done(error),
      );
    },
  });
  // as `pipeline`, but a source whose reader has gone is closed, not failed
  body.on('error', (error) => guard.destroy(error));
  body.on('close', () => {
    if (!body.readableEnded) guard.destroy(new Error('the source broke off'));
  });
  guard.on('close', () => body.destroy());
  return body.pipe(guard);
}
