import { type Readable, Transform } from 'node:stream';

/** Bytes go on for at most so many, and so many milliseconds, on one answer of the policy. */
const MOST_BYTES = 4 * 1024 * 1024;
const MOST_MS = 100;
/** After so many bytes the policy is asked again while they go on, so that a reader seldom waits for the answer. */
const AHEAD_BYTES = 3 * 1024 * 1024;

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

/**
 * An answer counts from when it was asked for, and from the bytes that had gone by then.
 * @param isAllowed asks the policy now. @param since milliseconds (`Date.now()`) of the answer that it began with.
 */
export function leaveWhileAllowed(isAllowed: () => Promise<boolean>, since: number): Leave {
  let gone = 0;
  let answered = { at: since, from: 0 };
  /** A question that nobody waits for yet; it never rejects, so that a refusal is found by who asks next. */
  let ahead: Promise<unknown> | undefined;
  const isOver = (bytes: number): boolean => gone + bytes > answered.from + MOST_BYTES || Date.now() - answered.at >= MOST_MS;

  const ask = async (): Promise<void> => {
    const asked = { at: Date.now(), from: gone };
    if (!(await isAllowed())) throw new Revoked();
    answered = asked;
  };
  const askAhead = (): void => {
    ahead = ask().then(
      () => {
        ahead = undefined;
      },
      (error: unknown) => error,
    );
  };

  return {
    isDue(bytes) {
      if (isOver(bytes)) return true;
      gone += bytes;
      if (!ahead && gone >= answered.from + AHEAD_BYTES) askAhead();
      return false;
    },
    async ask(bytes) {
      const refusal = await ahead;
      if (refusal) throw refusal;
      // An answer that was asked for before may not reach so far; one that is asked for now does.
      if (isOver(bytes)) await ask();
      gone += bytes;
    },
  };
}

/**
 * The same bytes for as long as they are allowed: before more than four mebibytes leave, or when the last answer is older than a tenth of a second,
 * the policy is asked again. When it says no, or can't be asked, the stream breaks off with an error, so that nothing half looks whole.
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
  // It broke off before it was read, and says so no more; who is to read this listens by then.
  if (body.destroyed) setImmediate(() => guard.destroy(body.errored ?? new Error('the source broke off')));
  return body.pipe(guard);
}
