import { readdir, readFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PixelTask } from '../../../../hub/imaging/pixels/messages.js';
import type { PixelRoom } from '../../../../hub/imaging/pixels/pixel-room.js';
import { PixelFailure } from '../../../../hub/imaging/pixels/failure.js';
import { encodeFrame } from '../../../../models/phantoms/encode-frame.js';
import { answerOf, type ImageRequest, imageObject, roomOf } from './objects.js';

const picture: PixelTask = { kind: 'render', type: 'image/png' };
const transcoding: PixelTask = { kind: 'transcode' };
const good = imageObject({ rows: 4, columns: 4, pixels: Uint8Array.from({ length: 16 }, (_, i) => i * 16) });

let room: PixelRoom;
beforeAll(() => {
  room = roomOf({ timeoutMs: 5_000 });
});
afterAll(() => room.close());

/** What becomes of an object: the code of its failure, or `done`. */
async function outcomeOf(task: PixelTask, object: Uint8Array, place = room): Promise<string> {
  try {
    await answerOf(place, task, object);
    return 'done';
  } catch (error) {
    if (error instanceof PixelFailure) return error.code;
    throw error;
  }
}

const jpegSize = (rows: number, columns: number): Buffer => {
  const frame = Buffer.from('ffd8ffc1000b080000000001011100ffda0008010100003f00', 'hex');
  frame.writeUInt16BE(rows, 7);
  frame.writeUInt16BE(columns, 9);
  return Buffer.concat([frame, Buffer.alloc(64), Buffer.from('ffd9', 'hex')]);
};

/** A JPEG 2000 codestream that ends after its main header: size, tiles, coding and quantization. */
function jpeg2000(columns: number, rows: number, tile: number): Buffer {
  const siz = Buffer.alloc(43);
  siz.write('ff510029', 0, 'hex');
  for (const [i, value] of [columns, rows, 0, 0, tile, tile, 0, 0].entries()) siz.writeUInt32BE(value, 6 + 4 * i);
  siz.write('0001070101', 38, 'hex');
  const cod = Buffer.from('ff52000c00000001000504040001', 'hex');
  const qcd = Buffer.from('ff5c00134040484850484850484850484850484850', 'hex');
  const sot = Buffer.from('ff90000a0000000000000001ff93', 'hex');
  return Buffer.concat([Buffer.from('ff4f', 'hex'), siz, cod, qcd, sot, Buffer.alloc(32), Buffer.from('ffd9', 'hex')]);
}

const fragments = (...parts: Uint8Array[]) => ({ fragments: parts });
const absurd = { rows: 65_535, columns: 65_535 };

/** An object in explicit little endian that has this before its pixel data. */
const withElement = (bytes: Buffer): Buffer => {
  const at = good.indexOf(Buffer.from('e07f1000', 'hex'));
  return Buffer.concat([good.subarray(0, at), bytes, good.subarray(at)]);
};
const nested = (depth: number): Buffer => {
  const open = Buffer.from('4000301053510000fffffffffeff00e0ffffffff', 'hex');
  return withElement(Buffer.concat(Array(depth).fill(open)));
};

function deflated(bytes: number): Buffer {
  const meta = imageObject({ rows: 1, columns: 1, pixels: Buffer.alloc(2), transferSyntaxUid: '1.2.840.10008.1.2.1.99' });
  const head = meta.subarray(0, 132 + 12 + meta.readUInt32LE(140));
  return Buffer.concat([head, deflateRawSync(Buffer.alloc(bytes), { level: 1 })]);
}

const image = (request: Partial<ImageRequest>): Buffer =>
  imageObject({ rows: 4, columns: 4, pixels: Buffer.alloc(16), ...request });

describe('an object that is made to do harm', () => {
  const cases: [string, () => Buffer, string][] = [
    ['inflates to more than may be', () => deflated(300 * 2 ** 20), 'too-large'],
    ['inflates to nothing', () => deflated(1000), 'unsupported'],
    ['claims absurd rows and columns', () => image(absurd), 'malformed'],
    [
      'claims them for run lengths',
      () => image({ ...absurd, transferSyntaxUid: '1.2.840.10008.1.2.5', pixels: fragments(Buffer.alloc(64)) }),
      'too-large',
    ],
    [
      'claims them for JPEG, which agrees',
      () => image({ ...absurd, transferSyntaxUid: '1.2.840.10008.1.2.4.51', pixels: fragments(jpegSize(65_535, 65_535)) }),
      'too-large',
    ],
    [
      'has a JPEG that is larger than its header says',
      () => image({ transferSyntaxUid: '1.2.840.10008.1.2.4.50', pixels: fragments(jpegSize(65_535, 65_535)) }),
      'malformed',
    ],
    [
      'has a JPEG-LS stream that is larger',
      () =>
        image({
          transferSyntaxUid: '1.2.840.10008.1.2.4.80',
          pixels: fragments(Buffer.from('ffd8fff7000b08fffffffff01011100ffda00080101000000', 'hex')),
        }),
      'malformed',
    ],
    [
      'has a JPEG 2000 stream that is larger',
      () => image({ transferSyntaxUid: '1.2.840.10008.1.2.4.90', pixels: fragments(jpeg2000(60_000, 60_000, 60_000)) }),
      'malformed',
    ],
    ['claims a thousand million frames', () => image({ frames: 1_000_000_000 }), 'malformed'],
    [
      'claims them of fragments',
      () => image({ frames: 1_000_000_000, transferSyntaxUid: '1.2.840.10008.1.2.5', pixels: fragments(Buffer.alloc(64)) }),
      'malformed',
    ],
    ['claims a frame of nothing', () => image({ rows: 0 }), 'malformed'],
    ['claims 37 bits a pixel', () => image({ bitsAllocated: 37 }), 'malformed'],
    ['claims more stored bits than there are', () => image({ bitsStored: 12 }), 'malformed'],
    ['nests a hundred thousand sequences', () => nested(100_000), 'too-large'],
    ['has an element that is longer than all', () => withElement(Buffer.from('400030104f420000feffffff', 'hex')), 'malformed'],
    [
      'has an item that is longer than all',
      () => withElement(Buffer.from('4000301053510000fffffffffeff00e0feffffff', 'hex')),
      'malformed',
    ],
    [
      'has a fragment that is longer than all',
      () => {
        const object = image({ transferSyntaxUid: '1.2.840.10008.1.2.5', pixels: fragments(Buffer.alloc(64)) });
        object.writeUInt32LE(0xfffffff0, object.length - 8 - 64 - 4);
        return object;
      },
      'malformed',
    ],
    ['is no DICOM at all', () => Buffer.alloc(1000, 0x41), 'malformed'],
    ['is empty', () => Buffer.alloc(0), 'malformed'],
    [
      'has run lengths that end too early',
      () => image({ transferSyntaxUid: '1.2.840.10008.1.2.5', pixels: fragments(Buffer.alloc(64, 1)) }),
      'malformed',
    ],
  ];

  it.each(cases)('%s: it is refused, and the room goes on', async (_name, object, code) => {
    expect(await outcomeOf(picture, object())).toBe(code);
    expect(await outcomeOf(picture, good)).toBe('done');
  });

  it('has more elements than a header may have', async () => {
    const element = Buffer.from('400030104c4f0000', 'hex');
    const elements = Array.from({ length: 200_001 }, (_, i) => {
      const one = Buffer.from(element);
      one.writeUInt16LE(i & 0xffff, 2);
      return one;
    });
    expect(await outcomeOf(transcoding, withElement(Buffer.concat(elements)))).toBe('too-large');
  });

  it.each([
    [
      'out-of-memory',
      { memoryBytes: 300 * 2 ** 20 },
      () => large({ transferSyntaxUid: '1.2.840.10008.1.2.5', samplesPerPixel: 3, pixels: fragments(rleOf(SIDE ** 2, 3)) }),
    ],
    [
      'timeout',
      { timeoutMs: 3_000 },
      () =>
        large({
          transferSyntaxUid: '1.2.840.10008.1.2.4.70',
          bitsAllocated: 16,
          frames: 20,
          pixels: fragments(...Array<Buffer>(20).fill(losslessOf(SIDE))),
        }),
    ],
    [
      'malformed',
      { timeoutMs: 4_000 },
      () => large({ transferSyntaxUid: '1.2.840.10008.1.2.4.90', pixels: fragments(jpeg2000(SIDE, SIDE, 1)) }),
    ],
    [
      'malformed',
      { timeoutMs: 4_000 },
      () => large({ transferSyntaxUid: '1.2.840.10008.1.2.4.201', pixels: fragments(jpeg2000(SIDE, SIDE, SIDE)) }),
    ],
  ] as const)('ends its process by %s, if any, and nothing else', async (code, limits, object) => {
    const before = process.memoryUsage().rss;
    const small = roomOf({ ...limits, processes: 1 });
    const began = performance.now();
    expect(await outcomeOf(picture, object(), small)).toBe(code);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await outcomeOf(picture, good, small)).toBe('done');
    small.close();
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 2 ** 20);
  });

  it('is too large to be taken, without being held', async () => {
    const small = roomOf({ memoryBytes: 300 * 2 ** 20, processes: 1 });
    expect(await outcomeOf(transcoding, Buffer.concat([good, Buffer.alloc(110 * 2 ** 20)]), small)).toBe('too-large');
    expect(await outcomeOf(picture, good, small)).toBe('done');
    small.close();
  });
});

const SIDE = 9_900;
const large = (request: Partial<ImageRequest>): Buffer => image({ rows: SIDE, columns: SIDE, ...request });

/** Lossless JPEG of which each bit, also those after its end, is a pixel. */
function losslessOf(side: number): Buffer {
  const table = Buffer.from(`ffc400140001${'00'.repeat(16)}`, 'hex');
  const frame = Buffer.from('ffc3000b100000000001011100', 'hex');
  frame.writeUInt16BE(side, 5);
  frame.writeUInt16BE(side, 7);
  const scan = Buffer.from('ffda0008010100010000', 'hex');
  return Buffer.concat([Buffer.from('ffd8', 'hex'), table, frame, scan, Buffer.alloc(64)]);
}

/** Run lengths that expand sixty-four times. */
function rleOf(pixels: number, planes: number): Buffer {
  const segment = Buffer.alloc(2 * Math.ceil(pixels / 128), Buffer.from([0x81, 0x00]));
  const header = Buffer.alloc(64);
  header.writeUInt32LE(planes, 0);
  for (let i = 0; i < planes; i++) header.writeUInt32LE(64 + i * segment.length, 4 + 4 * i);
  return Buffer.concat([header, ...Array(planes).fill(segment)]);
}

describe('the process that decodes', () => {
  it('has no environment and can write nothing', async () => {
    expect(await outcomeOf(picture, good)).toBe('done');
    const children = await childrenOf(process.pid);
    expect(children.length).toBeGreaterThan(0);
    for (const child of children) {
      expect(await readFile(`/proc/${child}/environ`, 'latin1')).toBe('');
      expect(await readFile(`/proc/${child}/cmdline`, 'latin1')).toMatch(/permission\0--allow-fs-read=\*\0/);
    }
  });

  it('answers whatever is made of an object with a picture or a failure', async () => {
    const grey = { pixels: Uint16Array.from({ length: 64 }, (_, i) => i * 60), columns: 8, rows: 8, bitsStored: 12 };
    const wide = { rows: 8, columns: 8, bitsAllocated: 16, bitsStored: 12 };
    const objects: Buffer[] = [good];
    for (const transferSyntaxUid of [
      '1.2.840.10008.1.2.4.80',
      '1.2.840.10008.1.2.5',
      '1.2.840.10008.1.2.1.99',
      '1.2.840.10008.1.2',
    ] as const)
      objects.push(imageObject({ ...wide, transferSyntaxUid, pixels: await encodeFrame(grey, transferSyntaxUid) }));
    const change = fc.record({ at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), byte: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...objects),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (object, changes, isPicture) => {
          const broken = Buffer.from(object);
          // The preamble means nothing.
          for (const { at, byte } of changes) broken[128 + Math.floor(at * (broken.length - 128))] = byte;
          const outcome = await outcomeOf(isPicture ? picture : transcoding, broken);
          expect(['done', 'malformed', 'unsupported', 'too-large']).toContain(outcome);
        },
      ),
      { numRuns: 150 },
    );
  });
});

async function childrenOf(pid: number): Promise<string[]> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(all.map((one) => readFile(`/proc/${one}/stat`, 'latin1').catch(() => '')));
  const own = all.filter((_, i) => stats[i]!.split(') ').at(-1)?.split(' ')[1] === String(pid));
  const commands = await Promise.all(own.map((one) => readFile(`/proc/${one}/cmdline`, 'latin1').catch(() => '')));
  return own.filter((_, i) => commands[i]!.includes('pixel-process'));
}
