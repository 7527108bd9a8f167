import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { SourceError } from '../../connectors/connector.js';

/** A reply has more parts or bytes than a job may hold. */
export class TooLarge extends Error {}

export interface PartLimits {
  bytes: number;
  parts: number;
}

const HEADER_BYTES = 16_384;
const BLANK_LINE = Buffer.from('\r\n\r\n');

/**
 * Writes the parts of a `multipart/related` stream (RFC 2046 5.1, PS3.18 8.7.1) to files of `folder`, one after the other; at most
 * one chunk is in memory. Resolves with their paths.
 * @throws SourceError when the stream is not multipart or ends before its closing delimiter. @throws TooLarge
 */
export async function writeParts(contentType: string, body: Readable, folder: string, limits: PartLimits): Promise<string[]> {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  if (!boundary) throw new SourceError('bad-response', 'The reply is not multipart.');
  const splitter = new Splitter(Buffer.from(`\r\n--${boundary[1] ?? boundary[2]}`), folder, limits);
  try {
    for await (const chunk of body) await splitter.take(chunk as Buffer);
    return splitter.finish();
  } finally {
    await splitter.close();
    body.destroy();
  }
}

class Splitter {
  readonly files: string[] = [];
  #state: 'preamble' | 'delimiter' | 'headers' | 'content' | 'end' = 'preamble';
  /** What is not decided yet. The line break that the first delimiter may lack is supplied. */
  #rest: Buffer = Buffer.from('\r\n');
  #file: FileHandle | undefined;
  #total = 0;

  constructor(
    readonly delimiter: Buffer,
    readonly folder: string,
    readonly limits: PartLimits,
  ) {}

  async take(chunk: Buffer): Promise<void> {
    this.#total += chunk.length;
    if (this.#total > this.limits.bytes) throw new TooLarge('the reply has too many bytes');
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (await this.#step());
  }

  finish(): string[] {
    if (this.#state !== 'end') throw new SourceError('bad-response', 'The reply ended before its closing delimiter.');
    return this.files;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Takes one thing off the rest; false when more bytes are needed. */
  #step(): Promise<boolean> | boolean {
    if (this.#state === 'preamble' || this.#state === 'content') return this.#upToDelimiter();
    if (this.#state === 'delimiter') return this.#afterDelimiter();
    return this.#state === 'headers' && this.#skipHeaders();
  }

  async #upToDelimiter(): Promise<boolean> {
    const at = this.#rest.indexOf(this.delimiter);
    const decided = at >= 0 ? at : Math.max(0, this.#rest.length - this.delimiter.length + 1);
    if (decided > 0) await this.#file?.writeFile(this.#rest.subarray(0, decided));
    this.#rest = this.#rest.subarray(at >= 0 ? at + this.delimiter.length : decided);
    if (at < 0) return false;
    await this.close();
    this.#state = 'delimiter';
    return true;
  }

  #afterDelimiter(): boolean {
    if (this.#rest.length < 2) return false;
    this.#state = this.#rest.toString('latin1', 0, 2) === '--' ? 'end' : 'headers';
    return this.#state === 'headers';
  }

  /** The rest begins with the line break of the delimiter line, so that a part without headers ends them at once. */
  async #skipHeaders(): Promise<boolean> {
    const at = this.#rest.indexOf(BLANK_LINE);
    if (at < 0) {
      if (this.#rest.length > HEADER_BYTES) throw new SourceError('bad-response', 'The headers of a part have no end.');
      return false;
    }
    this.#rest = this.#rest.subarray(at + BLANK_LINE.length);
    await this.#beginPart();
    this.#state = 'content';
    return true;
  }

  async #beginPart(): Promise<void> {
    if (this.files.length >= this.limits.parts) throw new TooLarge('the reply has too many parts');
    const path = join(this.folder, `${this.files.length + 1}.dcm`);
    this.#file = await open(path, 'wx', 0o600);
    this.files.push(path);
  }
}
