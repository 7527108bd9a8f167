import { Readable } from 'node:stream';
import { SourceError } from '../../../connectors/connector.js';
import { partsOf } from '../../imaging/parts.js';
import { invalid, Refusal, tooLarge } from '../../outcomes.js';

export interface PushLimits {
  /** Of one object, bytes. */
  objectBytes: number;
  objects: number;
  /** Longest pause of the sender, ms. */
  idleMs: number;
  /** Until the last byte, ms. */
  totalMs: number;
}

/**
 * The objects of a STOW-RS request (PS3.18 section 10.5.1), one after the other; one is in memory.
 * @throws Refusal 400, 408 or 413 for a message that is cut short, stands still or goes beyond the limits; what was given before stands.
 */
export async function* pushedObjects(contentType: string, body: Readable, limits: PushLimits): AsyncGenerator<Buffer> {
  // the message's own reader ends its stream: the request lives on for the answer
  const bytes = Readable.from(inTime(body, limits), { objectMode: false });
  let count = 0;
  try {
    for await (const part of partsOf(contentType, bytes)) {
      count += 1;
      if (count > limits.objects) throw tooLarge(`A request has at most ${limits.objects} objects.`);
      if (part.contentType !== '' && !/^application\/dicom\s*(;|$)/i.test(part.contentType))
        throw invalid('The parts are application/dicom.', 'Content-Type');
      yield await collected(part.body, limits.objectBytes);
    }
  } catch (error) {
    if (error instanceof SourceError) throw invalid('The message is no multipart/related, or ends before its closing delimiter.');
    throw error;
  }
  if (count === 0) throw invalid('The message holds no object.');
}

async function collected(body: AsyncIterable<Buffer>, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > most) throw tooLarge(`An object is larger than ${most} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** The bytes as they come, as long as they come. */
async function* inTime(body: Readable, { idleMs, totalMs }: PushLimits): AsyncGenerator<Buffer> {
  const iterator = body.iterator({ destroyOnReturn: false });
  const end = performance.now() + totalMs;
  for (;;) {
    const next = iterator.next() as Promise<IteratorResult<Buffer>>;
    const result = await within(Math.min(idleMs, end - performance.now()), next);
    if (result.done) return;
    yield result.value;
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const issue = { severity: 'error', code: 'timeout', diagnostics: 'The objects did not arrive in time.' } as const;
    timer = setTimeout(() => reject(new Refusal(408, [issue])), Math.max(0, ms));
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
