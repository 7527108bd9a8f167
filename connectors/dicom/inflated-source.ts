import { once } from 'node:events';
import { pipeline, Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { type ByteSource, chunks } from './byte-source.js';
import { type DicomLimits, DicomProblem } from './problem.js';

/**
 * The bytes that a deflated data set (PS3.5 annex A.5) inflates to. It is inflated once to learn how long it is, and again for what is read of it: only
 * the part that a header may take is held, so that a small file can't fill the memory.
 * @param start where the deflated bytes begin.
 * @throws DicomProblem `too-large`, `truncated` or `malformed`
 */
export async function inflatedSource(source: ByteSource, start: number, limits: DicomLimits): Promise<ByteSource> {
  const head: Buffer[] = [];
  let [held, length] = [0, 0];
  for await (const chunk of inflated(source, start)) {
    length += chunk.length;
    if (length > limits.maxInflatedBytes)
      throw new DicomProblem('too-large', `The inflated data set exceeds ${limits.maxInflatedBytes} bytes.`);
    if (held >= limits.maxHeaderBytes) continue;
    head.push(chunk);
    held += chunk.length;
  }
  const prefix = Buffer.concat(head);
  let cursor: Cursor | undefined;
  return {
    length,
    async read(offset, wanted) {
      const end = Math.min(length, offset + wanted);
      if (end <= prefix.length) return prefix.subarray(offset, end);
      if (!cursor || cursor.position > offset) {
        await cursor?.close();
        cursor = new Cursor(inflated(source, start));
      }
      return cursor.read(offset, end);
    },
    close: async () => cursor?.close(),
  };
}

/** Reads forward. */
class Cursor {
  position = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(private readonly stream: AsyncGenerator<Buffer>) {}

  async read(offset: number, end: number): Promise<Buffer> {
    const found: Buffer[] = [];
    while (this.position < end) {
      if (this.#rest.length === 0) {
        const { value, done } = await this.stream.next();
        if (done) throw new DicomProblem('truncated', 'The deflated data set became shorter while it was read.');
        this.#rest = value;
      }
      const piece = this.#rest.subarray(0, end - this.position);
      this.#rest = this.#rest.subarray(piece.length);
      if (this.position + piece.length > offset) found.push(piece.subarray(Math.max(0, offset - this.position)));
      this.position += piece.length;
    }
    return found.length === 1 ? found[0]! : Buffer.concat(found);
  }

  async close(): Promise<void> {
    await this.stream.return(undefined);
  }
}

async function* inflated(source: ByteSource, start: number): AsyncGenerator<Buffer> {
  const inflater = createInflateRaw({ chunkSize: 256 * 1024 });
  // Errors come out where the inflater is read.
  pipeline(Readable.from(chunks(source, start)), inflater, () => undefined);
  try {
    yield* inflater as AsyncIterable<Buffer>;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'Z_BUF_ERROR') throw new DicomProblem('truncated', 'The deflated data set ends too early.', { cause: error });
    if (code?.startsWith('Z_')) throw new DicomProblem('malformed', 'The data set is not deflated as it says.', { cause: error });
    throw error;
  } finally {
    if (!inflater.closed) {
      inflater.destroy();
      await once(inflater, 'close');
    }
  }
}
