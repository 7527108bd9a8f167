import type { PixelTask } from '../../../../hub/imaging/pixels/messages.js';
import { createPixelRoom, type PixelRoom } from '../../../../hub/imaging/pixels/pixel-room.js';
import { type Element, writePart10 } from '../../../../models/phantoms/part10-writer.js';
import type { TransferSyntaxUid } from '../../../../connectors/dicom/pixels/transfer-syntax.js';

export const roomOf = (limits: { memoryBytes?: number; timeoutMs?: number; processes?: number } = {}): PixelRoom =>
  createPixelRoom({ processes: 2, memoryBytes: 2 ** 30, timeoutMs: 20_000, ...limits });

export interface ImageRequest {
  rows: number;
  columns: number;
  transferSyntaxUid?: TransferSyntaxUid;
  photometricInterpretation?: string;
  samplesPerPixel?: number;
  bitsAllocated?: number;
  bitsStored?: number;
  highBit?: number;
  signed?: boolean;
  frames?: number | string;
  planarConfiguration?: number;
  pixels: Uint8Array | { fragments: Uint8Array[] };
  more?: Element[];
}

/** A small secondary capture, with whatever a header can claim. */
export function imageObject(image: ImageRequest): Buffer {
  const { bitsAllocated = 8, bitsStored = bitsAllocated, samplesPerPixel = 1, pixels } = image;
  const elements: Element[] = [
    [0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.7'],
    [0x00080018, 'UI', '2.25.1'],
    [0x0020000d, 'UI', '2.25.2'],
    [0x0020000e, 'UI', '2.25.3'],
    [0x00280002, 'US', samplesPerPixel],
    [0x00280004, 'CS', image.photometricInterpretation ?? (samplesPerPixel === 3 ? 'RGB' : 'MONOCHROME2')],
    ...(samplesPerPixel === 3 ? [[0x00280006, 'US', image.planarConfiguration ?? 0] as Element] : []),
    ...(image.frames === undefined ? [] : [[0x00280008, 'IS', String(image.frames)] as Element]),
    [0x00280010, 'US', image.rows],
    [0x00280011, 'US', image.columns],
    [0x00280100, 'US', bitsAllocated],
    [0x00280101, 'US', bitsStored],
    [0x00280102, 'US', image.highBit ?? bitsStored - 1],
    [0x00280103, 'US', image.signed ? 1 : 0],
    ...(image.more ?? []),
    pixels instanceof Uint8Array ? [0x7fe00010, bitsAllocated > 8 ? 'OW' : 'OB', pixels] : [0x7fe00010, 'OB', pixels],
  ];
  return writePart10(elements, {
    transferSyntaxUid: image.transferSyntaxUid ?? '1.2.840.10008.1.2.1',
    characterSet: 'ISO_IR 192',
  });
}

/** All parts of the answer. @throws PixelFailure */
export async function answerOf(room: PixelRoom, task: PixelTask, object: Uint8Array): Promise<Buffer[]> {
  const pieces = (async function* () {
    for (let at = 0; at < object.length; at += 65_536) yield object.subarray(at, at + 65_536);
  })();
  const parts: Buffer[] = [];
  for await (const { body } of await room.run(task, pieces, new AbortController().signal)) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(Buffer.from(chunk));
    parts.push(Buffer.concat(chunks));
  }
  return parts;
}
