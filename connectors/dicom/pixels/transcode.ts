import { text } from '../describe.js';
import type { DataSet, Element } from '../data-set.js';
import { frameIndex, nativePixelData } from '../frames.js';
import type { DicomObject } from '../part10.js';
import { transferSyntaxes } from '../part10.js';
import { part10Header } from '../part10-header.js';
import type { DicomJson } from '../values.js';
import { explicitLittleEndian, writeDataSet } from '../write/data-set.js';
import { elementHead } from '../write/encode.js';
import { type DecodedFrame, decodeFrame } from './decode-frame.js';
import { type ImagePixel, imagePixel } from './image-pixel.js';
import { PixelProblem } from './problem.js';
import { lossyTransferSyntaxes } from './transfer-syntax.js';

/** The longest value that an element of explicit length can have, which is even. */
const LONGEST = 0xfffffffe;

/**
 * The same object as a PS3.10 file in Explicit VR Little Endian (1.2.840.10008.1.2.1), its frames decoded one at a time. What follows the pixel data
 * (trailing padding, signatures of other bytes) is left out.
 * @throws PixelProblem before the first byte when the coding is not known or the pixel data would be too long, later when a frame is damaged.
 */
export async function* transcode(object: DicomObject, json: DicomJson): AsyncGenerator<Uint8Array> {
  const isEncapsulated = (object.pixelData?.length ?? 0) < 0;
  const pixelData = isEncapsulated ? await decodedPixelData(object, json) : nativeElement(object, json);
  yield part10Header({
    sopClassUid: text(json, '00080016') ?? '',
    sopInstanceUid: text(json, '00080018') ?? '',
    transferSyntaxUid: transferSyntaxes.explicitLittleEndian,
  });
  yield* writeDataSet(pixelData?.dataSet ?? object.dataSet, object.body);
  if (pixelData) yield* pixelData.bytes;
}

interface NewPixelData {
  dataSet: DataSet;
  /** The element, head and value. */
  bytes: AsyncGenerator<Uint8Array>;
}

function nativeElement(object: DicomObject, json: DicomJson): NewPixelData | undefined {
  const { pixelData, dataSet } = object;
  if (!pixelData) return undefined;
  const isWide = Number(text(json, '00280100') ?? 0) > 8;
  const vr = pixelData.tag === '7FE00010' ? (isWide ? 'OW' : 'OB') : pixelData.vr;
  return {
    dataSet,
    bytes: padded(
      elementHead(pixelData.tag, vr, pixelData.length + (pixelData.length % 2), explicitLittleEndian),
      nativePixelData(object, json),
    ),
  };
}

async function decodedPixelData(object: DicomObject, json: DicomJson): Promise<NewPixelData> {
  const image = imagePixel(json, object.transferSyntaxUid);
  const index = await frameIndex(object, json);
  const length = index.frames * image.rows * image.columns * image.samplesPerPixel * (image.bitsAllocated / 8);
  if (length > LONGEST) throw new PixelProblem('too-large', 'The pixel data is longer than an uncompressed object can hold.');
  // The first frame tells what becomes of the colours, which the header states before the pixels.
  const first = await decodeFrame(await bytesOf(index.read(1)), image);
  async function* cells(): AsyncGenerator<Uint8Array> {
    yield asCells(first, image);
    for (let frame = 2; frame <= index.frames; frame++)
      yield asCells(await decodeFrame(await bytesOf(index.read(frame)), image), image);
  }
  const head = elementHead('7FE00010', image.bitsAllocated > 8 ? 'OW' : 'OB', length + (length % 2), explicitLittleEndian);
  return { dataSet: describing(first, image, object.dataSet), bytes: padded(head, cells()) };
}

/** All bytes of a frame. */
export async function bytesOf(frame: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const received: Uint8Array[] = [];
  for await (const chunk of frame) received.push(chunk);
  return received.length === 1 ? received[0]! : Buffer.concat(received);
}

/** Stored values as little-endian cells of Bits Allocated (PS3.5 8.1.1). */
export function asCells({ samples }: DecodedFrame, { bitsAllocated, floating }: ImagePixel): Uint8Array {
  if (floating) return viewOf(samples);
  // Lossless JPEG is decoded to words whatever its precision is.
  if (bitsAllocated === 8)
    return viewOf(samples.BYTES_PER_ELEMENT === 1 ? samples : Uint8Array.from(samples, (value) => value & 0xff));
  if (bitsAllocated === 16) return viewOf(samples.BYTES_PER_ELEMENT === 2 ? samples : Int16Array.from(samples));
  if (bitsAllocated === 32) return viewOf(samples.BYTES_PER_ELEMENT === 4 ? samples : Int32Array.from(samples));
  throw new PixelProblem('unsupported', 'Pixels of this many bits are not supported.');
}

const viewOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** The data set with what decoding changed: colour space, planes, bits, no offset tables; a lossy past stays stated (PS3.3 C.7.6.1.1.5). */
function describing(frame: DecodedFrame, image: ImagePixel, { elements, ...encoding }: DataSet): DataSet {
  const changed = new Map(elements);
  for (const offsets of ['7FE00001', '7FE00002']) changed.delete(offsets);
  const set = (tag: string, vr: string, value: Buffer) =>
    changed.set(tag, { tag, vr, start: 0, end: 0, offset: 0, length: value.length, value } satisfies Element);
  set('00280004', 'CS', Buffer.from(frame.photometricInterpretation, 'latin1'));
  if (image.samplesPerPixel > 1) set('00280006', 'US', Buffer.alloc(2));
  set('00280102', 'US', Buffer.from([image.bitsStored - 1, 0]));
  if (lossyTransferSyntaxes.has(image.transferSyntaxUid) && !elements.has('00282110')) set('00282110', 'CS', Buffer.from('01'));
  return { ...encoding, elements: changed };
}

async function* padded(head: Buffer, value: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head;
  let length = 0;
  for await (const chunk of value) {
    length += chunk.length;
    yield chunk;
  }
  if (length % 2) yield Buffer.alloc(1);
}
