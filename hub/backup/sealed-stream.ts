import { createCipheriv, createDecipheriv } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';

/** Bytes of clear text in each part but the last, and of the authentication tag behind each. */
const PART = 64 * 1024;
const TAG = 16;

/** A sealed file that does not open: it was changed, cut short, or belongs to another backup. */
export class NotIntact extends Error {
  constructor() {
    super('it was changed, cut short, or is of another backup');
    this.name = 'NotIntact';
  }
}

/**
 * Encrypts a stream of any length in bounded memory: AES-256-GCM part by part, each with its number and whether it is the last in the nonce
 * (the STREAM construction), so that no part can be changed, moved, left out, or cut off. @param key of this one stream: its nonces begin at 0
 */
export function sealing(key: Buffer): Transform {
  return inParts(PART, (part, number, isLast) => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(number, isLast));
    return Buffer.concat([cipher.update(part), cipher.final(), cipher.getAuthTag()]);
  });
}

/** Decrypts what `sealing` wrote; only parts that hold are passed on. The stream fails with NotIntact at the first that does not. */
export function opening(key: Buffer): Transform {
  return inParts(PART + TAG, (part, number, isLast) => {
    if (part.length < TAG) throw new NotIntact();
    const decipher = createDecipheriv('aes-256-gcm', key, nonce(number, isLast), { authTagLength: TAG });
    decipher.setAuthTag(part.subarray(part.length - TAG));
    try {
      return Buffer.concat([decipher.update(part.subarray(0, part.length - TAG)), decipher.final()]);
    } catch {
      throw new NotIntact();
    }
  });
}

function nonce(number: number, isLast: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(number, 7);
  bytes[11] = isLast ? 1 : 0;
  return bytes;
}

/** Cuts a stream into parts of `size`; a part goes when more follows, so that the last one, which may be empty, is known as such. */
function inParts(size: number, change: (part: Buffer, number: number, isLast: boolean) => Buffer): Transform {
  let waiting: Buffer[] = [];
  let length = 0;
  let number = 0;
  const take = (): Buffer => {
    const all = Buffer.concat(waiting, length);
    waiting = [all.subarray(size)];
    length = Math.max(0, length - size);
    return all.subarray(0, size);
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      waiting.push(chunk);
      length += chunk.length;
      attempt(done, () => {
        while (length > size) this.push(change(take(), number++, false));
      });
    },
    flush(done) {
      attempt(done, () => void this.push(change(take(), number, true)));
    },
  });
}

function attempt(done: TransformCallback, work: () => void): void {
  let failure: Error | null = null;
  try {
    work();
  } catch (error) {
    failure = error as Error;
  }
  done(failure);
}
