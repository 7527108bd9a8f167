import { readFile } from 'node:fs/promises';
import { openPicture, type PictureFile, readPictureFiles } from '../../models/dicom/read-picture.js';
import type { Outcome } from '../../models/outcome.js';
import { encodeFrame, type GreyFrame } from '../../models/phantoms/encode-frame.js';
import type { Element } from '../../models/phantoms/part10-writer.js';
import type { PhantomRequest } from '../../models/phantoms/write-ct-series.js';
import { imagePixel, type PictureCoding, words } from '../../models/phantoms/write-picture.js';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { scoreStudy } from '../../models/runtime.js';
import type { Scored } from '../../models/score-messages.js';

export const ophthalmicPhotography = '1.2.840.10008.5.1.4.1.1.77.1.5.1';
export const mammographyForPresentation = '1.2.840.10008.5.1.4.1.1.1.2';

export const requestIn = (folder: string): PhantomRequest => ({
  folder,
  patient: { id: 'P-7', name: 'Li^Na=李^娜' },
  study: { uid: '2.25.90210', started: '2024-05-06T07:08:09' },
});

export function unwrap<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new Error(`${outcome.code}: ${outcome.message}`);
  return outcome.value;
}

export const scoredBy = async (model: string, folder: string): Promise<Scored> => unwrap(await scoreStudy({ model, folder }));

/** The header of a file as a model's code gets it. */
export async function described(path: string): Promise<PictureFile> {
  return unwrap(await readPictureFiles([path]))[0]!;
}

/** What a model's code is shown of a file's first frame. */
export async function shown(path: string): Promise<Uint8Array> {
  const opened = unwrap(await openPicture(await described(path)));
  return unwrap(await opened.frame(1)).pixels;
}

/** Largest and mean difference. */
export function difference(a: Uint8Array, b: Uint8Array): { largest: number; mean: number } {
  let [largest, sum] = [a.length === b.length ? 0 : Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < a.length; i++) {
    const off = Math.abs(a[i]! - b[i]!);
    largest = Math.max(largest, off);
    sum += off;
  }
  return { largest, mean: sum / a.length };
}

/** A grey picture as digital mammography stores it, with more elements or other values. */
export function codeGrey(frame: GreyFrame, elements: Element[] = [], photometric = 'MONOCHROME2'): PictureCoding {
  const { pixels, rows, columns, bitsStored: bits } = frame;
  return {
    elements: [...imagePixel({ rows, columns, bits, allocated: 16, samples: 1, photometric }), ...elements],
    pixelData: words(pixels),
  };
}

export async function codeGreyJpegLs(frame: GreyFrame): Promise<PictureCoding> {
  const syntax = transferSyntax.jpegLsLossless;
  return { ...codeGrey(frame), pixelData: await encodeFrame(frame, syntax), transferSyntax: syntax };
}

/** A JPEG file as it is, as the only frame of an image. */
export async function wrapJpeg(path: string, samples: 1 | 3): Promise<PictureCoding> {
  const bytes = await readFile(path);
  const start = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1]! >= 0xc0 && bytes[i + 1]! <= 0xc2);
  const [rows, columns] = [bytes.readUInt16BE(start + 5), bytes.readUInt16BE(start + 7)];
  const photometric = samples === 3 ? 'YBR_FULL_422' : 'MONOCHROME2';
  return {
    elements: [...imagePixel({ rows, columns, bits: 8, samples, photometric }), [0x00280006, 'US', 0]],
    pixelData: { fragments: [bytes] },
    transferSyntax: transferSyntax.jpegBaseline,
  };
}
