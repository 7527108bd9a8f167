import type { Readable } from 'node:stream';
import { SourceError } from '../../../connectors/connector.js';

/** Bytes of one item, and how deep it may nest. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_DEPTH = 200;

const [quote, backslash, open, close, openArray, closeArray, comma] = Buffer.from('"\\{}[],');
const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/**
 * The items of a JSON array of objects as they come; one is in memory at a time.
 * @throws SourceError `bad-response` for what is no such array, ends too early, or has an item beyond its bounds.
 */
export async function* arrayItems(body: Readable): AsyncGenerator<object> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let [depth, isText, isEscaped, isStarted, isEnded] = [0, false, false, false, false];
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      let from = 0;
      for (let i = 0; i < chunk.length; i++) {
        const byte = chunk[i]!;
        if (isText) {
          if (isEscaped) isEscaped = false;
          else if (byte === backslash) isEscaped = true;
          else if (byte === quote) isText = false;
          continue;
        }
        if (byte === quote && depth > 0) isText = true;
        else if (byte === open || (byte === openArray && depth > 0)) {
          if (!isStarted || isEnded || depth >= MOST_DEPTH) throw noArray();
          if (depth++ === 0) from = i;
        } else if ((byte === close || byte === closeArray) && depth > 0) {
          if (--depth > 0) continue;
          held.push(chunk.subarray(from, i + 1));
          yield parsed(held);
          [held, heldBytes] = [[], 0];
        } else if (depth === 0 && byte === openArray && !isStarted) isStarted = true;
        else if (depth === 0 && byte === closeArray && isStarted && !isEnded) isEnded = true;
        else if (depth === 0 && byte !== comma && !isSpace(byte)) throw noArray();
      }
      if (depth === 0) continue;
      held.push(chunk.subarray(from));
      heldBytes += chunk.length - from;
      if (heldBytes > MOST_BYTES) throw noArray();
    }
    if (!isEnded) throw noArray();
  } finally {
    body.once('error', () => undefined).destroy();
  }
}

function parsed(pieces: readonly Buffer[]): object {
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new SourceError('bad-response', 'The source answers what is not JSON.', { cause });
  }
}

const noArray = () => new SourceError('bad-response', 'The source answers no array of objects that can be read.');
