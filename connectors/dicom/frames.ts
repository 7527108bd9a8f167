import { type ByteSource, chunks } from './byte-source.js';
import { text } from './describe.js';
import type { DicomObject } from './part10.js';
import { transferSyntaxes } from './part10.js';
import { isSubsampled } from './pixels/image-pixel.js';
import { DicomProblem } from './problem.js';
import { type DicomJson, inLittleEndian } from './values.js';

/** Byte ranges in the object's body that make up one frame, in order. */
type Frame = { offset: number; length: number }[];

export interface FrameIndex {
  frames: number;
  /** Transfer syntax of the bytes that `read` gives: native frames are always little endian. */
  transferSyntaxUid: string;
  /** The bytes of a frame; `number` counts from 1. */
  read(number: number): AsyncIterable<Uint8Array>;
}

const maxFragments = 1_000_000;

/**
 * Finds the frames of an object's pixel data (PS3.5 section 8.2 and annex A.4), native or encapsulated. Only the item headers of
 * encapsulated data are read; frames are read when asked for.
 * @throws DicomProblem `malformed` when there is no pixel data or its frames can't be told apart, `truncated` when it ends early.
 */
export async function frameIndex(object: DicomObject, json: DicomJson): Promise<FrameIndex> {
  const { pixelData } = object;
  if (!pixelData) throw new DicomProblem('malformed', 'The object has no pixel data.');
  return pixelData.length < 0
    ? encapsulated(object, pixelData.offset, json)
    : native(object, pixelData.offset, pixelData.length, json);
}

/** The native pixel data as a whole, in little endian. */
export async function* nativePixelData(object: DicomObject, json: DicomJson): AsyncGenerator<Uint8Array> {
  const { offset, length } = object.pixelData!;
  const size = object.dataSet.littleEndian ? 1 : wordSize(object, json);
  for await (const chunk of chunks(object.body, offset, offset + length)) yield inLittleEndian(Buffer.from(chunk), size);
}

function native(object: DicomObject, start: number, length: number, json: DicomJson): FrameIndex {
  const bits = number(json, '00280010') * number(json, '00280011') * samplesOf(json) * bitsAllocated(object, json);
  const frames = number(json, '00280008', 1);
  if (!(bits > 0) || Math.ceil((bits * frames) / 8) > length)
    throw new DicomProblem('malformed', 'The pixel data is shorter than its frames.');
  const read =
    bits % 8 === 0
      ? (frame: number) => nativeBytes(object, start + ((frame - 1) * bits) / 8, bits / 8, wordSize(object, json))
      : (frame: number) => packedBits(object.body, start, (frame - 1) * bits, bits);
  return { frames, transferSyntaxUid: transferSyntaxes.explicitLittleEndian, read };
}

async function* nativeBytes(
  { body, dataSet }: DicomObject,
  offset: number,
  length: number,
  size: number,
): AsyncGenerator<Uint8Array> {
  if (dataSet.littleEndian || size === 1) return yield* chunks(body, offset, offset + length);
  // Words are swapped whole: the range grows to word boundaries, and the frame is cut out of it again.
  const before = offset % size;
  const swapped = inLittleEndian(await body.read(offset - before, Math.ceil((before + length) / size) * size), size);
  yield swapped.subarray(before, before + length);
}

/** One-bit pixels are packed across frames (PS3.5 8.1.1): a frame may begin inside a byte. */
async function* packedBits(body: ByteSource, start: number, firstBit: number, bits: number): AsyncGenerator<Uint8Array> {
  const firstByte = Math.floor(firstBit / 8);
  const source = await body.read(start + firstByte, Math.ceil((firstBit + bits) / 8) - firstByte);
  const shift = firstBit % 8;
  const frame = Buffer.alloc(Math.ceil(bits / 8), 0);
  for (let i = 0; i < frame.length; i += 1) frame[i] = ((source[i]! >> shift) | ((source[i + 1] ?? 0) << (8 - shift))) & 0xff;
  if (bits % 8 !== 0) frame[frame.length - 1]! &= (1 << (bits % 8)) - 1;
  yield frame;
}

async function encapsulated(object: DicomObject, start: number, json: DicomJson): Promise<FrameIndex> {
  const { table, fragments } = await readFragments(object.body, start);
  const frames = await groupFragments(object, table, fragments, number(json, '00280008', 1));
  async function* read(frame: number): AsyncGenerator<Uint8Array> {
    for (const { offset, length } of frames[frame - 1] ?? []) yield* chunks(object.body, offset, offset + length);
  }
  return { frames: frames.length, transferSyntaxUid: object.transferSyntaxUid, read };
}

/** Basic Offset Table and fragments (PS3.5 table A.4-1). A missing delimiter at the end of the file is forgiven. */
async function readFragments(body: ByteSource, start: number): Promise<{ table: Buffer; fragments: Frame }> {
  const items: Frame = [];
  for (let position = start; position < body.length; ) {
    const head = await body.read(position, 8);
    if (head.length < 8) throw new DicomProblem('truncated', 'The pixel data ends inside an item.');
    const tag = head.readUInt32LE(0);
    const length = head.readUInt32LE(4);
    if (tag === 0xe0ddfffe) break;
    if (tag !== 0xe000fffe) throw new DicomProblem('malformed', 'The pixel data holds something else than items.');
    if (position + 8 + length > body.length) throw new DicomProblem('truncated', 'The pixel data ends inside a fragment.');
    if (items.length >= maxFragments)
      throw new DicomProblem('too-large', `The pixel data has more than ${maxFragments} fragments.`);
    items.push({ offset: position + 8, length });
    position += 8 + length;
  }
  const [first, ...fragments] = items;
  if (!first || fragments.length === 0) throw new DicomProblem('truncated', 'The pixel data has no fragments.');
  return { table: await body.read(first.offset, first.length), fragments };
}

/** Which fragments belong to which frame: by number, by an offset table, or by the marks that begin a compressed image. */
async function groupFragments(object: DicomObject, table: Buffer, fragments: Frame, frames: number): Promise<Frame[]> {
  if (frames === 1) return [fragments];
  if (fragments.length === frames) return fragments.map((fragment) => [fragment]);
  const base = fragments[0]!.offset - 8;
  const starts = offsetTable(object, table, frames)?.map((offset) =>
    fragments.findIndex((fragment) => fragment.offset - 8 - base === offset),
  );
  const found = starts ?? (await imageStarts(object.body, fragments));
  const isOrdered = found.length === frames && found[0] === 0 && found.every((start, i) => i === 0 || start > found[i - 1]!);
  if (!isOrdered) throw new DicomProblem('malformed', 'The frames of the pixel data cannot be told apart.');
  return found.map((start, i) => fragments.slice(start, found[i + 1]));
}

/** Extended Offset Table (7FE0,0001), 64-bit, or Basic Offset Table, 32-bit; undefined when both are empty. */
function offsetTable({ dataSet }: DicomObject, basic: Buffer, frames: number): number[] | undefined {
  const extended = dataSet.elements.get('7FE00001')?.value;
  if (extended?.length === frames * 8) return Array.from({ length: frames }, (_, i) => Number(extended.readBigUInt64LE(i * 8)));
  if (basic.length === frames * 4) return Array.from({ length: frames }, (_, i) => basic.readUInt32LE(i * 4));
  return undefined;
}

/** Fragments that begin with Start of Image (JPEG, JPEG-LS) or Start of Codestream (JPEG 2000, HTJ2K). */
async function imageStarts(body: ByteSource, fragments: Frame): Promise<number[]> {
  const starts: number[] = [];
  for (const [i, fragment] of fragments.entries()) {
    const mark = (await body.read(fragment.offset, 2)).toString('hex');
    if (mark === 'ffd8' || mark === 'ff4f') starts.push(i);
  }
  return starts;
}

/** Samples that are stored for a pixel: two pixels of YBR_FULL_422 share their colour (PS3.3 C.7.6.3.1.2). */
function samplesOf(json: DicomJson): number {
  const samples = number(json, '00280002', 1);
  return samples === 3 && isSubsampled(text(json, '00280004') ?? '') ? 2 : samples;
}

function bitsAllocated({ pixelData }: DicomObject, json: DicomJson): number {
  const implied = { '7FE00008': 32, '7FE00009': 64 }[pixelData?.tag ?? ''];
  return implied ?? number(json, '00280100');
}

/** Eight-bit pixels that are stored as OW are swapped in pairs in big endian (PS3.5 8.1.1). */
function wordSize(object: DicomObject, json: DicomJson): number {
  const bytes = bitsAllocated(object, json) / 8;
  return bytes === 1 && object.pixelData?.vr === 'OW' ? 2 : Math.max(1, bytes);
}

function number(json: DicomJson, tag: string, otherwise = 0): number {
  const value = Number(text(json, tag) ?? otherwise);
  return Number.isSafeInteger(value) && value > 0 ? value : otherwise;
}
