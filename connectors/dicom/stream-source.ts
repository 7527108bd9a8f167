import { createInflateRaw } from 'node:zlib';
import type { ByteSource } from './byte-source.js';
import { DicomProblem } from './problem.js';

/**
 * Bytes that come once, such as from a network, as a source that is read forward: what lies before the last offset that was asked for is forgotten. Its
 * length is known at the end only.
 * @param most bytes that are held at once.
 */
export function streamSource(bytes: AsyncIterable<Uint8Array>, most: number): ByteSource {
  const iterator = bytes[Symbol.asyncIterator]();
  let held: Buffer[] = [];
  let start = 0;
  let end = 0;
  let isEnded = false;

  const forget = (before: number): void => {
    while (held.length > 0 && start + held[0]!.length <= before) start += held.shift()!.length;
    if (held.length === 0) start = end;
  };
  const take = async (): Promise<void> => {
    const next = await iterator.next();
    if (next.done) {
      isEnded = true;
      return;
    }
    const { buffer, byteOffset, byteLength } = next.value;
    held.push(Buffer.from(buffer, byteOffset, byteLength));
    end += byteLength;
  };
  return {
    get length() {
      return isEnded ? end : Number.MAX_SAFE_INTEGER;
    },
    read: async (offset, length) => {
      forget(offset);
      while (!isEnded && end < offset + length) {
        await take();
        forget(offset);
        if (end - start > most) throw new DicomProblem('too-large', `The header exceeds ${most} bytes.`);
      }
      // Kept in one piece for the next read.
      held = [held.length === 1 ? held[0]! : Buffer.concat(held)];
      const from = Math.max(0, offset - start);
      return held[0]!.subarray(from, from + length);
    },
    close: async () => void (await iterator.return?.()),
  };
}

/** Inflated at once, so that little becomes much only little by little. */
const slice = 4 * 1024;

/**
 * Inflates as it comes; nothing is read ahead.
 * @param most bytes that may come out of it.
 * @throws DicomProblem `malformed`, or `too-large`.
 */
export async function* inflated(deflated: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<Buffer> {
  const inflate = createInflateRaw();
  const out: Buffer[] = [];
  let failure: Error | undefined;
  let length = 0;
  inflate.on('data', (chunk: Buffer) => {
    length += chunk.length;
    out.push(chunk);
  });
  inflate.on('error', (error) => {
    failure = error;
  });
  const ended = new Promise<void>((resolve) => inflate.once('end', resolve).once('error', () => resolve()));
  const check = (): void => {
    if (length > most) throw new DicomProblem('too-large', `The inflated data set exceeds ${most} bytes.`);
    if (failure) throw new DicomProblem('malformed', 'The data set is not deflated as it says.', { cause: failure });
  };
  try {
    for await (const chunk of deflated) {
      for (let at = 0; at < chunk.length; at += slice) {
        const written = new Promise<void>((resolve) => void inflate.write(chunk.subarray(at, at + slice), () => resolve()));
        await Promise.race([written, ended]);
        check();
        yield* out.splice(0);
      }
    }
    inflate.end();
    await ended;
    check();
    yield* out.splice(0);
  } finally {
    inflate.destroy();
  }
}
