import { inflateRawSync } from 'node:zlib';
import dicomParser, { type DataSet } from 'dicom-parser';
import { failure, type Outcome, success } from '../outcome.js';
import type { ImagePixel } from '../../connectors/dicom/pixels/image-pixel.js';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';

/** What scoring needs of an image's header: General Series, Image Plane, Image Pixel and the modality look-up (PS3.3). */
export interface ImageHeader extends ImagePixel {
  sopInstanceUid: string;
  sopClassUid: string;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  seriesNumber: number;
  acquisitionNumber: string;
  modality: string;
  bodyPart: string;
  imageType: string[];
  /** Contrast/Bolus Agent (0018,0010), or a sign that one is named in a sequence (0018,0012); empty where there is none. */
  contrastAgent: string;
  /** Convolution Kernel (0018,1210), upper case; the first where several are named. */
  kernel: string;
  rescaleSlope: number;
  rescaleIntercept: number;
  /** Stored values that stand for no measurement (PS3.3 C.7.5.1.1.2), the lowest and the highest. */
  padding?: [low: number, high: number];
  /** Centre of the first pixel, mm; absent where the image has no place in the patient. */
  position?: number[];
  /** Direction of the rows, then of the columns: six cosines. */
  orientation?: number[];
  /** Between rows, between columns, mm. */
  pixelSpacing?: number[];
  /** mm. */
  sliceThickness?: number;
}

const pixelDataTag = 'x7fe00010';
/** A slice of CT has 0.5 MB; the bounds are there for the bytes of strangers. */
const largestFile = 256 * 1024 * 1024;
const mostPixels = 4096 * 4096;

/** Reads an object's header without its pixels. `malformed-input` for what is no DICOM object. */
export function readHeader(bytes: Uint8Array): Outcome<ImageHeader> {
  const parsed = parse(bytes, pixelDataTag);
  return parsed.ok ? describe(parsed.value.dataSet, parsed.value.transferSyntaxUid) : parsed;
}

/** The coded bytes of one frame (0-based): a slice of native Pixel Data, or the joined fragments of an encapsulated frame. */
export function readFrame(bytes: Uint8Array, header: ImageHeader, frame = 0): Outcome<Uint8Array> {
  if (!isPlausible(header)) return failure('malformed-input', 'An image header contradicts itself.');
  const parsed = parse(bytes);
  if (!parsed.ok) return parsed;
  const { dataSet } = parsed.value;
  const element = dataSet.elements[pixelDataTag];
  if (!element || frame < 0 || frame >= header.frames) return failure('malformed-input', 'The image has no such frame.');
  if (element.encapsulatedPixelData) {
    try {
      return success(encapsulatedFrame(dataSet, frame, header.frames));
    } catch {
      return failure('malformed-input', 'The fragments of the pixel data do not make a frame.');
    }
  }
  const length = header.rows * header.columns * header.samplesPerPixel * (header.bitsAllocated / 8);
  const start = element.dataOffset + frame * length;
  if (element.length < (frame + 1) * length) return failure('malformed-input', 'The pixel data is shorter than the image.');
  return success(dataSet.byteArray.subarray(start, start + length));
}

function encapsulatedFrame(dataSet: DataSet, frame: number, frames: number): Uint8Array {
  const element = dataSet.elements[pixelDataTag]!;
  if (frames === 1) return dicomParser.readEncapsulatedPixelDataFromFragments(dataSet, element, 0, element.fragments!.length);
  const offsets = element.basicOffsetTable?.length ? element.basicOffsetTable : undefined;
  if (offsets || element.fragments!.length !== frames) {
    const table = offsets ?? dicomParser.createJPEGBasicOffsetTable(dataSet, element);
    return dicomParser.readEncapsulatedImageFrame(dataSet, element, frame, table);
  }
  return dicomParser.readEncapsulatedPixelDataFromFragments(dataSet, element, frame, 1);
}

function parse(bytes: Uint8Array, untilTag?: string): Outcome<{ dataSet: DataSet; transferSyntaxUid: string }> {
  if (bytes.length > largestFile) return failure('malformed-input', 'The file is too large for one image.');
  try {
    const assumed = hasPreamble(bytes) ? undefined : guessTransferSyntax(bytes);
    const options = { ...(untilTag && { untilTag }), ...(assumed && { TransferSyntaxUID: assumed }), inflater: inflate };
    // A deflated data set is read from other bytes than its meta information, which is therefore read on its own.
    const meta = assumed ? undefined : dicomParser.parseDicom(bytes, { untilTag: 'x00020010' });
    const transferSyntaxUid = assumed ?? meta?.string('x00020010') ?? '';
    return success({ dataSet: dicomParser.parseDicom(bytes, options), transferSyntaxUid });
  } catch {
    return failure('malformed-input', 'A file is not a readable DICOM object.');
  }
}

const hasPreamble = (bytes: Uint8Array): boolean =>
  bytes.length > 132 && Buffer.from(bytes.subarray(128, 132)).toString('latin1') === 'DICM';

/** A file without preamble and meta information: explicit where the first element shows a value representation. */
function guessTransferSyntax(bytes: Uint8Array): string {
  const vr = Buffer.from(bytes.subarray(4, 6)).toString('latin1');
  return /^[A-Z]{2}$/.test(vr) ? transferSyntax.explicitLittleEndian : transferSyntax.implicitLittleEndian;
}

function inflate(bytes: Uint8Array, position: number): Uint8Array {
  return inflateRawSync(bytes.subarray(position), { maxOutputLength: largestFile });
}

function describe(dataSet: DataSet, transferSyntaxUid: string): Outcome<ImageHeader> {
  const text = (tag: string) => dataSet.string(tag)?.trim() ?? '';
  const header: ImageHeader = {
    sopInstanceUid: text('x00080018'),
    sopClassUid: text('x00080016'),
    studyInstanceUid: text('x0020000d'),
    seriesInstanceUid: text('x0020000e'),
    seriesNumber: Number(text('x00200011')) || 0,
    acquisitionNumber: text('x00200012'),
    modality: text('x00080060'),
    bodyPart: text('x00180015'),
    imageType: text('x00080008').split('\\'),
    contrastAgent: text('x00180010') || (dataSet.elements['x00180012']?.items?.length ? 'stated' : ''),
    kernel: (text('x00181210').split('\\')[0] ?? '').toUpperCase(),
    transferSyntaxUid,
    rows: dataSet.uint16('x00280010') ?? 0,
    columns: dataSet.uint16('x00280011') ?? 0,
    samplesPerPixel: dataSet.uint16('x00280002') ?? 1,
    photometricInterpretation: text('x00280004') || 'MONOCHROME2',
    planarConfiguration: dataSet.uint16('x00280006') ?? 0,
    bitsAllocated: dataSet.uint16('x00280100') ?? 0,
    bitsStored: dataSet.uint16('x00280101') ?? 0,
    highBit: dataSet.uint16('x00280102') ?? (dataSet.uint16('x00280101') ?? 0) - 1,
    signed: dataSet.uint16('x00280103') === 1,
    frames: Number(text('x00280008') || 1),
    rescaleSlope: decimals(dataSet, 'x00281053', 1)?.[0] ?? 1,
    rescaleIntercept: decimals(dataSet, 'x00281052', 1)?.[0] ?? 0,
    padding: padding(dataSet),
    position: decimals(dataSet, 'x00200032', 3),
    orientation: decimals(dataSet, 'x00200037', 6),
    pixelSpacing: decimals(dataSet, 'x00280030', 2),
    sliceThickness: decimals(dataSet, 'x00180050', 1)?.[0],
  };
  return header.sopInstanceUid ? success(header) : failure('malformed-input', 'A DICOM object lacks its SOP Instance UID.');
}

function isPlausible({ bitsAllocated, bitsStored, rows, columns, frames }: ImageHeader): boolean {
  const bits = [8, 16].includes(bitsAllocated) && bitsStored >= 1 && bitsStored <= bitsAllocated;
  return bits && rows > 0 && columns > 0 && rows * columns <= mostPixels && Number.isInteger(frames) && frames >= 1;
}

/** Pixel Padding Value and Range Limit; their sign is that of the pixels, whatever the writer took. */
function padding(dataSet: DataSet): ImageHeader['padding'] {
  const signed = dataSet.uint16('x00280103') === 1;
  const value = (tag: string) => (dataSet.elements[tag]?.length === 2 ? dataSet[signed ? 'int16' : 'uint16'](tag) : undefined);
  const first = value('x00280120');
  if (first === undefined) return undefined;
  const last = value('x00280121') ?? first;
  return [Math.min(first, last), Math.max(first, last)];
}

/** Decimal strings (PS3.5 section 6.2), or nothing where there are too few or one is no finite number. */
function decimals(dataSet: DataSet, tag: string, count: number): number[] | undefined {
  const values = (dataSet.string(tag) ?? '').split('\\').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  return values.length >= count && values.every(Number.isFinite) ? values.slice(0, count) : undefined;
}
