import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bufferSource, chunks } from '../../connectors/dicom/byte-source.js';
import { frameIndex } from '../../connectors/dicom/frames.js';
import { multipartRelated, type Part } from '../../connectors/dicom/multipart.js';
import { readObject } from '../../connectors/dicom/read-study.js';
import { dataSet, element, encapsulatedPixelData, part10, uint16 } from './support/data-sets.js';
import { partsOf } from './support/multipart.js';

const jpeg = '1.2.840.10008.1.2.4.50';

function image(frames: number, rows: number, columns: number, bits: number): Buffer {
  return dataSet({
    '00280002': ['US', uint16(1)],
    '00280008': ['IS', String(frames)],
    '00280010': ['US', uint16(rows)],
    '00280011': ['US', uint16(columns)],
    '00280100': ['US', uint16(bits)],
  });
}

async function framesOf(bytes: Buffer): Promise<{ transferSyntaxUid: string; frames: Buffer[] }> {
  const read = await readObject(bufferSource(bytes));
  if (!read.ok) throw new Error(read.detail);
  const index = await frameIndex(read.object, read.json);
  const frames = await Promise.all(Array.from({ length: index.frames }, (_, i) => collect(index.read(i + 1))));
  return { transferSyntaxUid: index.transferSyntaxUid, frames };
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

/** Fragments as compressed images begin: with a mark. */
const fragment = fc
  .uint8Array({ minLength: 2, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes.length % 2 ? [...bytes, 0] : bytes));
const marked = fragment.map((bytes) => Buffer.concat([Buffer.from([0xff, 0xd8]), bytes]));
const unmarked = fragment.map((bytes) => Buffer.concat([Buffer.from([0x00, 0x01]), bytes]));
const frameOfFragments = fc.tuple(marked, fc.array(unmarked, { maxLength: 3 })).map(([first, rest]) => [first, ...rest]);

describe('frames', () => {
  it('of native pixel data are the slices of its bytes', async () => {
    const shape = fc.record({
      frames: fc.integer({ min: 1, max: 4 }),
      rows: fc.integer({ min: 1, max: 5 }),
      columns: fc.integer({ min: 1, max: 5 }),
      bytes: fc.constantFrom(1, 2),
    });
    await fc.assert(
      fc.asyncProperty(shape, fc.infiniteStream(fc.nat(255)), async ({ frames, rows, columns, bytes }, random) => {
        const pixels = Buffer.from([...random.take(frames * rows * columns * bytes)]);
        const padded = pixels.length % 2 ? Buffer.concat([pixels, Buffer.alloc(1)]) : pixels;
        const found = await framesOf(
          part10(Buffer.concat([image(frames, rows, columns, bytes * 8), element('7FE00010', 'OW', padded)])),
        );
        expect(Buffer.concat(found.frames).equals(pixels)).toBe(true);
        expect(found.frames).toHaveLength(frames);
      }),
    );
  });

  it('of one-bit pixel data are cut out of the bits', async () => {
    const shape = fc.record({
      frames: fc.integer({ min: 1, max: 4 }),
      rows: fc.integer({ min: 1, max: 5 }),
      columns: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(shape, fc.infiniteStream(fc.boolean()), async ({ frames, rows, columns }, random) => {
        const bits = [...random.take(frames * rows * columns)];
        const pack = (some: boolean[]) =>
          Buffer.from(
            Array.from({ length: Math.ceil(some.length / 8) }, (_, i) =>
              some.slice(i * 8, i * 8 + 8).reduce((byte, bit, n) => byte | (Number(bit) << n), 0),
            ),
          );
        const packed = pack(bits);
        const value = packed.length % 2 ? Buffer.concat([packed, Buffer.alloc(1)]) : packed;
        const found = await framesOf(part10(Buffer.concat([image(frames, rows, columns, 1), element('7FE00010', 'OB', value)])));
        const size = rows * columns;
        expect(found.frames).toEqual(Array.from({ length: frames }, (_, i) => pack(bits.slice(i * size, (i + 1) * size))));
      }),
    );
  });

  it('of encapsulated pixel data are found with and without an offset table', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(frameOfFragments, { minLength: 1, maxLength: 5 }), fc.boolean(), async (frames, hasTable) => {
        const sizes = frames.map((fragments) => fragments.reduce((sum, one) => sum + 8 + one.length, 0));
        const offsets = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, one) => sum + one, 0));
        const table = Buffer.alloc(hasTable ? offsets.length * 4 : 0);
        for (const [i, offset] of hasTable ? offsets.entries() : []) table.writeUInt32LE(offset, i * 4);
        const bytes = Buffer.concat([image(frames.length, 8, 8, 8), encapsulatedPixelData(table, frames.flat())]);
        const found = await framesOf(part10(bytes, jpeg));
        expect(found).toEqual({ transferSyntaxUid: jpeg, frames: frames.map((fragments) => Buffer.concat(fragments)) });
      }),
    );
  });

  it('of big endian pixel data come in little endian', async () => {
    const swap = (bytes: Buffer) => Buffer.from(bytes).swap16();
    const header = Buffer.from(
      '0028000255530002000100280008495300023220002800105553000200010028001155530002000200280100555300020010',
      'hex',
    );
    const group8 = Buffer.from('00080060435300024354', 'hex');
    const pixels = Buffer.from('0102030405060708', 'hex');
    const element = Buffer.concat([Buffer.from('7fe000104f57000000000008', 'hex'), pixels]);
    const { transferSyntaxUid, frames } = await framesOf(part10(Buffer.concat([group8, header, element]), '1.2.840.10008.1.2.2'));
    expect(transferSyntaxUid).toBe('1.2.840.10008.1.2.1');
    expect(Buffer.concat(frames)).toEqual(swap(pixels));
  });

  it('that cannot be told apart, or are not all there, are refused', async () => {
    const two = [Buffer.from('ffd80001', 'hex'), Buffer.from('00010001', 'hex'), Buffer.from('00010001', 'hex')];
    await expect(
      framesOf(part10(Buffer.concat([image(2, 8, 8, 8), encapsulatedPixelData(Buffer.alloc(0), two)]), jpeg)),
    ).rejects.toMatchObject({ reason: 'malformed' });
    await expect(
      framesOf(part10(Buffer.concat([image(2, 8, 8, 8), element('7FE00010', 'OB', Buffer.alloc(100))]))),
    ).rejects.toMatchObject({ reason: 'malformed' });
    await expect(framesOf(part10(dataSet()))).rejects.toMatchObject({ reason: 'malformed' });
  });
});

describe('a multipart message', () => {
  it('is taken apart again into its parts, whatever they hold', async () => {
    const part = fc.record({
      contentType: fc.constantFrom('application/dicom', 'application/octet-stream; transfer-syntax=1.2'),
      body: fc.uint8Array({ maxLength: 300 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), async (parts) => {
        async function* source(): AsyncGenerator<Part> {
          for (const { contentType, body } of parts)
            yield { contentType, body: chunks(bufferSource(Buffer.from(body)), 0, body.length, 7) };
        }
        const received = await partsOf(multipartRelated('application/dicom', source()));
        expect(received).toEqual(parts.map(({ contentType, body }) => ({ contentType, body: Buffer.from(body) })));
      }),
    );
  });

  it('lets no header be smuggled in', async () => {
    async function* source(): AsyncGenerator<Part> {
      yield { contentType: 'a/b\r\nX-Evil: 1', location: 'x\r\n\r\ny', body: chunks(bufferSource(Buffer.from('z'))) };
    }
    expect(await partsOf(multipartRelated('a/b', source()))).toEqual([{ contentType: 'a/bX-Evil: 1', body: Buffer.from('z') }]);
  });
});
