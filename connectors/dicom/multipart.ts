import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { byteStream } from './byte-source.js';

/** One part of a multipart message; its bytes are read when its turn comes. */
export interface Part {
  contentType: string;
  /** Content-Location, where the part has an address of its own. */
  location?: string;
  body: AsyncIterable<Uint8Array>;
}

/**
 * A `multipart/related` message (RFC 2387, PS3.18 section 8.6.1.2) as a stream: one part after the other, nothing held.
 * @param type media type of the parts, e.g. `application/dicom`.
 */
export function multipartRelated(type: string, parts: AsyncIterable<Part>): { contentType: string; body: Readable } {
  const boundary = randomUUID();
  return {
    contentType: `multipart/related; type="${type}"; boundary=${boundary}`,
    body: byteStream(message(boundary, parts)),
  };
}

async function* message(boundary: string, parts: AsyncIterable<Part>): AsyncGenerator<Uint8Array> {
  for await (const part of parts) {
    const location = part.location === undefined ? '' : `Content-Location: ${headerValue(part.location)}\r\n`;
    yield Buffer.from(`--${boundary}\r\nContent-Type: ${headerValue(part.contentType)}\r\n${location}\r\n`);
    yield* part.body;
    yield Buffer.from('\r\n');
  }
  yield Buffer.from(`--${boundary}--\r\n`);
}

const headerValue = (value: string) => value.replace(/[^\x20-\x7e]/g, '');
