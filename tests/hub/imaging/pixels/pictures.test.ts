import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import type { PixelTask } from '../../../../hub/imaging/pixels/messages.js';
import type { PixelRoom } from '../../../../hub/imaging/pixels/pixel-room.js';
import type { Element } from '../../../../models/phantoms/part10-writer.js';
import { answerOf, type ImageRequest, imageObject, roomOf } from './objects.js';

let room: PixelRoom;
beforeAll(() => {
  room = roomOf();
});
afterAll(() => room.close());

/** The picture's samples: grey where it has one channel. */
async function shown(request: ImageRequest, task: Partial<PixelTask> = {}): Promise<number[]> {
  const [picture] = await answerOf(room, { kind: 'render', type: 'image/png', ...task } as PixelTask, imageObject(request));
  const { data } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
  return [...data];
}

const rgb = { samplesPerPixel: 3 } as const;
const words = (...values: number[]): Buffer => Buffer.from(Uint16Array.from(values, (value) => value & 0xffff).buffer);
const grey = (pixels: Uint8Array, more: Partial<ImageRequest> = {}): ImageRequest => ({
  rows: 1,
  columns: pixels.length,
  pixels,
  ...more,
});
/** Values of one pixel channel each, or of grey pictures that come as three equal ones. */
const firsts = (samples: number[], count: number): number[] => samples.filter((_, i) => i % (samples.length / count) === 0);

describe('a picture of grey values', () => {
  it.each([
    ['8 bits as they are', grey(Uint8Array.of(0, 100, 200, 255)), [0, 100, 200, 255]],
    [
      'MONOCHROME1 with low values bright',
      grey(Uint8Array.of(0, 100, 255, 1), { photometricInterpretation: 'MONOCHROME1' }),
      [255, 155, 0, 254],
    ],
    [
      '16 bits from the lowest to the highest',
      { ...grey(words(1000, 1500, 2000, 1250)), columns: 4, bitsAllocated: 16 },
      [0, 128, 255, 64],
    ],
    ['signed values', { ...grey(words(-1000, 0, 1000, -500)), columns: 4, bitsAllocated: 16, signed: true }, [0, 128, 255, 64]],
    [
      '12 bits under an old overlay',
      { ...grey(words(0xf000, 0x0fff, 0x1800, 0x8400)), columns: 4, bitsAllocated: 16, bitsStored: 12 },
      [0, 255, 128, 64],
    ],
    [
      '12 bits in the upper part of the word',
      { ...grey(words(0, 0xfff0, 0x8000, 0x400f)), columns: 4, bitsAllocated: 16, bitsStored: 12, highBit: 15 },
      [0, 255, 128, 64],
    ],
    [
      'single bits, the first one lowest',
      { ...grey(Buffer.of(0b00000101, 0)), columns: 8, bitsAllocated: 1 },
      [255, 0, 255, 0, 0, 0, 0, 0],
    ],
    [
      '32 bits',
      { ...grey(Buffer.from(Uint32Array.of(70_000, 170_000, 270_000, 120_000).buffer)), columns: 4, bitsAllocated: 32 },
      [0, 128, 255, 64],
    ],
  ] as [string, ImageRequest, number[]][])('shows %s', async (_name, request, expected) => {
    expect(firsts(await shown(request), expected.length)).toEqual(expected);
  });

  const windowed: Element[] = [
    [0x00281050, 'DS', '50\\1000'],
    [0x00281051, 'DS', '101\\1'],
  ];
  it('shows the first window that is stated, of values after rescaling', async () => {
    const rescaled: Element[] = [...windowed, [0x00281052, 'DS', '-100'], [0x00281053, 'DS', '2']];
    // 2 * v - 100 from 0 to 100
    expect(firsts(await shown(grey(Uint8Array.of(0, 50, 75, 100, 200), { more: rescaled })), 5)).toEqual([0, 1, 129, 255, 255]);
  });

  it('shows another window on demand', async () => {
    const task = { window: { center: 150, width: 100, function: 'linear-exact' } } as const;
    expect(firsts(await shown(grey(Uint8Array.of(0, 100, 150, 200), { more: windowed }), task as never), 4)).toEqual([
      0, 0, 128, 255,
    ]);
  });

  it('leaves padding out of the range', async () => {
    const request = { ...grey(words(-2000, 100, 200, 150)), columns: 4, bitsAllocated: 16, signed: true };
    const more: Element[] = [[0x00280120, 'US', 0x10000 - 2000]];
    expect(firsts(await shown({ ...request, more }), 4)).toEqual([0, 0, 255, 128]);
  });

  it('is inverted by the shape of its presentation look-up table', async () => {
    const more: Element[] = [[0x20500020, 'CS', 'INVERSE']];
    expect(firsts(await shown(grey(Uint8Array.of(0, 100, 255, 1), { more })), 4)).toEqual([255, 155, 0, 254]);
  });
});

describe('a picture in colour', () => {
  const red = [255, 0, 0];
  const pixels = (...values: number[]): ImageRequest => ({
    ...rgb,
    rows: 1,
    columns: values.length / 3,
    pixels: Buffer.from(values),
  });
  const near = (samples: number[], expected: number[]): void => {
    expect(samples).toHaveLength(expected.length);
    for (const [i, value] of expected.entries()) expect(Math.abs(samples[i]! - value)).toBeLessThanOrEqual(1);
  };

  it('shows RGB, by pixel and by plane', async () => {
    near(await shown(pixels(255, 0, 0, 1, 2, 3)), [255, 0, 0, 1, 2, 3]);
    near(await shown({ ...pixels(255, 1, 0, 2, 0, 3), planarConfiguration: 1 }), [255, 0, 0, 1, 2, 3]);
  });

  it('shows 16 bits by their highest eight', async () => {
    near(await shown({ ...rgb, rows: 1, columns: 1, bitsAllocated: 16, pixels: words(0xff00, 0x8000, 0x0100) }), [255, 128, 1]);
  });

  it('shows YBR_FULL, and YBR_FULL_422 of which two pixels share their colour', async () => {
    near(await shown({ ...pixels(76, 85, 255), photometricInterpretation: 'YBR_FULL' }), red);
    const shared = { ...rgb, rows: 1, columns: 2, photometricInterpretation: 'YBR_FULL_422', pixels: Buffer.of(76, 29, 85, 255) };
    near(await shown(shared), [...red, 208, 0, 0]);
  });

  it('shows palettes of 8 and of 16 bits', async () => {
    const tags = [0x00281101, 0x00281102, 0x00281103];
    const descriptor = (bits: number): Element[] => tags.map((tag) => [tag, 'OW', words(3, 10, bits)]);
    const data = (scale: number): Element[] =>
      [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
      ].map((values, i) => [0x00281201 + i, 'OW', words(...values.map((value) => value * scale))]);
    const request = { ...grey(Uint8Array.of(9, 10, 11, 200)), photometricInterpretation: 'PALETTE COLOR' };
    for (const [bits, scale] of [
      [8, 1],
      [16, 256],
    ] as const)
      near(await shown({ ...request, more: [...descriptor(bits), ...data(scale)] }), [1, 4, 7, 1, 4, 7, 2, 5, 8, 3, 6, 9]);
  });

  it('shows segmented palettes', async () => {
    const descriptor = [0x00281101, 0x00281102, 0x00281103].map((tag): Element => [tag, 'OW', words(8, 0, 16)]);
    // Two values, a line of four to 0x5000, and the first segment once more.
    const segments = words(0, 2, 0x1000, 0x1000, 1, 4, 0x5000, 2, 1, 0, 0);
    const data = [0x00281221, 0x00281222, 0x00281223].map((tag): Element => [tag, 'OW', segments]);
    const request = { ...grey(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)), photometricInterpretation: 'PALETTE COLOR' };
    const samples = await shown({ ...request, more: [...descriptor, ...data] });
    expect(samples.filter((_, i) => i % 3 === 0)).toEqual([0x10, 0x10, 0x20, 0x30, 0x40, 0x50, 0x10, 0x10]);
  });

  it('is refused in a colour space that is retired', async () => {
    await expect(shown({ ...pixels(1, 2, 3), photometricInterpretation: 'HSV' })).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('an object that is written anew', () => {
  it('keeps its pixels, and says in explicit little endian what they are', async () => {
    const request: ImageRequest = {
      rows: 1,
      columns: 5,
      transferSyntaxUid: '1.2.840.10008.1.2.5',
      pixels: { fragments: [Buffer.concat([headerOf(1), Buffer.from([2, 10, 20, 30, 255, 7])])] },
    };
    const [object] = await answerOf(room, { kind: 'transcode' }, imageObject(request));
    expect(object!.subarray(-6)).toEqual(Buffer.from([10, 20, 30, 7, 7, 0]));
    expect(await shown({ rows: 1, columns: 5, pixels: object!.subarray(-6) })).toEqual(await shown(request));
  });
});

/** Header of run lengths with so many segments, the first right behind it. */
function headerOf(segments: number): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(segments, 0);
  header.writeUInt32LE(64, 4);
  return header;
}
