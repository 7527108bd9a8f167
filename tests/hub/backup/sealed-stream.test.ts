import { randomBytes } from 'node:crypto';
import { Readable, type Transform } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NotIntact, opening, sealing } from '../../../hub/backup/sealed-stream.js';

const PART = 64 * 1024;
const key = randomBytes(32);

async function through(stream: Transform, bytes: Buffer, piece: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece));
  const [out] = await Promise.all([buffer(stream), pipeline(Readable.from(pieces), stream)]);
  return out;
}

/** Lengths around whole parts, where a last part is told from one that more follows. */
const length = fc.oneof(
  fc.nat(1000),
  fc.nat(3).chain((parts) => fc.integer({ min: -2, max: 2 }).map((more) => Math.max(0, parts * PART + more))),
);
const piece = fc.constantFrom(1021, 4096, PART, PART + 16, 5 * PART);

describe('a sealed stream', () => {
  it('opens as what it was, however long and in whatever pieces it comes, and shows nothing of it', () =>
    fc.assert(
      fc.asyncProperty(length, piece, piece, async (size, written, read) => {
        const clear = randomBytes(size);
        const sealed = await through(sealing(key), clear, written);
        expect(sealed.length).toBe(size + 16 * Math.max(1, Math.ceil(size / PART)));
        if (size > 16) expect(sealed.includes(clear.subarray(0, 16))).toBe(false);
        expect((await through(opening(key), sealed, read)).equals(clear)).toBe(true);
      }),
      { numRuns: 25 },
    ));

  it('does not open when a bit of it was changed, it was cut, lengthened, its parts exchanged, or under another key', () =>
    fc.assert(
      fc.asyncProperty(
        length,
        fc.nat(),
        piece,
        fc.constantFrom('flip', 'cut', 'cut a part', 'lengthen', 'exchange', 'key'),
        async (size, at, read, how) => {
          const sealed = await through(sealing(key), Buffer.alloc(size, 'x'), PART);
          const changed = damaged(sealed, at, how);
          if (changed.equals(sealed) && how !== 'key') return;
          await expect(through(opening(how === 'key' ? randomBytes(32) : key), changed, read)).rejects.toThrow(NotIntact);
        },
      ),
      { numRuns: 80 },
    ));
});

function damaged(sealed: Buffer, at: number, how: string): Buffer {
  const whole = PART + 16;
  if (how === 'cut') return sealed.subarray(0, at % sealed.length);
  if (how === 'cut a part') return sealed.subarray(0, Math.floor((sealed.length - 1) / whole) * whole);
  if (how === 'lengthen') return Buffer.concat([sealed, sealed.subarray(0, 1 + (at % sealed.length))]);
  if (how === 'exchange')
    return Buffer.concat([sealed.subarray(whole, 2 * whole), sealed.subarray(0, whole), sealed.subarray(2 * whole)]);
  const copy = Buffer.from(sealed);
  if (how === 'flip') copy[at % copy.length]! ^= 1 << (at % 8);
  return copy;
}
