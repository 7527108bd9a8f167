import type { Readable } from 'node:stream';
import { SourceError } from '../../connectors/connector.js';

/** A part of a multipart message. */
export interface MessagePart {
  /** Of its Content-Type; empty where it has none. */
  contentType: string;
  /** Read it before the next part is asked for; what is left of it is passed over. */
  body: AsyncGenerator<Buffer>;
}

const HEADER_BYTES = 16_384;
const EPILOGUE_BYTES = 65_536;
const BLANK_LINE = Buffer.from('\r\n\r\n');

/**
 * The parts of a `multipart/related` stream (RFC 2046 5.1, PS3.18 8.6.1.2), one after the other; at most one chunk is in memory. The stream is
 * destroyed when the last part was read or the reading is given up.
 * @throws SourceError `bad-response` when the stream is not multipart or ends before its closing delimiter.
 */
export async function* partsOf(contentType: string, body: Readable): AsyncGenerator<MessagePart> {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  if (!boundary) throw new SourceError('bad-response', 'The reply is not multipart.');
  const reader = new PartReader(body, Buffer.from(`\r\n--${boundary[1] ?? boundary[2]}`));
  try {
    await drain(reader.upToDelimiter());
    while (await reader.hasNext()) {
      const part = { contentType: await reader.contentType(), body: reader.upToDelimiter() };
      yield part;
      await drain(part.body);
      if (!reader.isAtDelimiter) await drain(reader.upToDelimiter());
    }
    await reader.passEpilogue();
  } finally {
    body.once('error', () => undefined).destroy();
  }
}

async function drain(rest: AsyncGenerator<Buffer>): Promise<void> {
  for await (const _ of rest);
}

/** How many of the last bytes may be the beginning of the delimiter, which begins with a line break: seldom any, so that chunks are passed on uncopied. */
function begunAtEnd(bytes: Buffer, delimiter: Buffer): number {
  const from = Math.max(0, bytes.length - delimiter.length + 1);
  for (let at = bytes.indexOf('\r', from); at >= 0; at = bytes.indexOf('\r', at + 1))
    if (delimiter.subarray(0, bytes.length - at).equals(bytes.subarray(at))) return bytes.length - at;
  return 0;
}

class PartReader {
  /** What was read and not given yet. The line break that the first delimiter may lack is supplied. */
  #rest: Buffer = Buffer.from('\r\n');
  readonly #chunks: AsyncIterator<Buffer>;
  /** The delimiter was just stepped over. */
  isAtDelimiter = false;

  constructor(
    body: Readable,
    readonly delimiter: Buffer,
  ) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  /** The bytes up to the next delimiter, which is stepped over. */
  async *upToDelimiter(): AsyncGenerator<Buffer> {
    this.isAtDelimiter = false;
    for (;;) {
      const at = this.#rest.indexOf(this.delimiter);
      const decided = at >= 0 ? at : this.#rest.length - begunAtEnd(this.#rest, this.delimiter);
      const given = this.#rest.subarray(0, decided);
      this.#rest = this.#rest.subarray(at >= 0 ? at + this.delimiter.length : decided);
      this.isAtDelimiter = at >= 0;
      if (given.length > 0) yield given;
      if (at >= 0) return;
      await this.#more();
    }
  }

  /** After a delimiter: whether a part follows, or the end. */
  async hasNext(): Promise<boolean> {
    while (this.#rest.length < 2) await this.#more();
    return this.#rest.toString('latin1', 0, 2) !== '--';
  }

  /** Steps over the headers, which begin with the line break of the delimiter line, so that a part without headers ends them at once. */
  async contentType(): Promise<string> {
    for (let at = this.#rest.indexOf(BLANK_LINE); ; at = this.#rest.indexOf(BLANK_LINE)) {
      if (at >= 0) {
        const headers = this.#rest.toString('latin1', 0, at);
        this.#rest = this.#rest.subarray(at + BLANK_LINE.length);
        return /^content-type:\s*(.*)$/im.exec(headers)?.[1]?.trim() ?? '';
      }
      if (this.#rest.length > HEADER_BYTES) throw new SourceError('bad-response', 'The headers of a part have no end.');
      await this.#more();
    }
  }

  /** What follows the closing delimiter (usually a line break) is read, so that the connection can be used again. */
  async passEpilogue(): Promise<void> {
    for (let bytes = 0; bytes < EPILOGUE_BYTES; ) {
      const { value, done } = await this.#chunks.next();
      if (done) return;
      bytes += value.length;
    }
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#chunks.next();
    if (done) throw new SourceError('bad-response', 'The reply ended before its closing delimiter.');
    this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
  }
}
