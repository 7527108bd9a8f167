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

/**
 * The same bytes for as long as they are allowed: before more than a mebibyte leaves, or when the last answer is older than a tenth of a second, the
 * policy is asked again. When it says no, or can't be asked, the stream breaks off with an error, so that nothing half looks whole.
 * @param isAllowed asks the policy now. @param since milliseconds (`Date.now()`) of the answer that the retrieval began with.
 */
export function whileAllowed(body: Readable, isAllowed: () => Promise<boolean>, since: number): Readable {
  let asked = since;
  let bytes = 0;
  const isDue = (chunk: Buffer): boolean => bytes + chunk.length > MOST_BYTES || Date.now() - asked >= MOST_MS;
  const guard = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!isDue(chunk)) {
        bytes += chunk.length;
        done(null, chunk);
        return;
      }
      const now = Date.now();
      isAllowed().then(
        (allowed) => {
          asked = now;
          bytes = chunk.length;
          if (allowed) done(null, chunk);
          else done(new Revoked());
        },
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
