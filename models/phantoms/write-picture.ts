import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TransferSyntaxUid, transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { type Element, writePart10 } from './part10-writer.js';
import { type PhantomFile, type PhantomRequest, studyElements } from './write-ct-series.js';

/** 8 bits a sample, red, green and blue by pixel. */
export interface ColourPicture {
  pixels: Uint8Array;
  rows: number;
  columns: number;
}

/** How the samples of a frame lie: the Image Pixel module (PS3.3 C.7.6.3) with its pixel data. */
export interface PictureCoding {
  elements: Element[];
  pixelData: Uint8Array | { fragments: Uint8Array[] };
  /** Default Explicit VR Little Endian. */
  transferSyntax?: TransferSyntaxUid;
}

export interface PictureSeries {
  number: number;
  sopClassUid: string;
  modality: string;
  /** Elements of the series and the image, over those that every image has. */
  elements: Element[];
}

/** Writes one image as a series of its own. */
export async function writePicture(request: PhantomRequest, series: PictureSeries, coding: PictureCoding): Promise<PhantomFile> {
  const folder = join(request.folder, `series-${series.number}`);
  await mkdir(folder, { recursive: true });
  const seriesInstanceUid = `${request.study.uid}.${series.number}`;
  const file = {
    path: join(folder, 'IM0001.dcm'),
    sopInstanceUid: `${seriesInstanceUid}.1`,
    seriesInstanceUid,
    instanceNumber: 1,
  };
  const { characterSet = 'ISO_IR 192' } = request;
  const syntax = coding.transferSyntax ?? transferSyntax.explicitLittleEndian;
  const elements: Element[] = [
    ...studyElements(request, characterSet),
    [0x00080008, 'CS', 'ORIGINAL\\PRIMARY'],
    [0x00080016, 'UI', series.sopClassUid],
    [0x00080018, 'UI', file.sopInstanceUid],
    [0x00080060, 'CS', series.modality],
    [0x00080070, 'LO', 'Phantom'],
    [0x0020000e, 'UI', seriesInstanceUid],
    [0x00200011, 'IS', String(series.number)],
    [0x00200013, 'IS', '1'],
    ...coding.elements,
    ...series.elements,
    [0x7fe00010, 'OB', coding.pixelData] as Element,
  ];
  const only = [...new Map(elements.map((element) => [element[0], element])).values()];
  await writeFile(file.path, writePart10(only, { transferSyntaxUid: syntax, characterSet }));
  return file;
}

/** Ways to store a colour picture (PS3.3 C.7.6.3.1.2). `RGB planar` is RGB, one plane after the other. */
export type ColourForm = 'RGB' | 'RGB planar' | 'YBR_FULL' | 'YBR_FULL_422' | 'PALETTE COLOR';

export function codeColour(picture: ColourPicture, form: ColourForm): PictureCoding {
  const { pixels, rows, columns } = picture;
  if (form === 'PALETTE COLOR') return throughPalette(picture);
  const samples =
    form === 'RGB'
      ? pixels
      : form === 'RGB planar'
        ? planes(pixels)
        : form === 'YBR_FULL'
          ? ycbcr(pixels)
          : halved(ycbcr(pixels));
  return {
    elements: [
      ...imagePixel({ rows, columns, bits: 8, samples: 3, photometric: form.split(' ')[0]! }),
      [0x00280006, 'US', form === 'RGB planar' ? 1 : 0],
    ],
    pixelData: samples,
  };
}

/** Image Pixel module. */
export function imagePixel(of: {
  rows: number;
  columns: number;
  bits: number;
  samples: number;
  photometric: string;
  allocated?: number;
}): Element[] {
  return [
    [0x00280002, 'US', of.samples],
    [0x00280004, 'CS', of.photometric],
    [0x00280010, 'US', of.rows],
    [0x00280011, 'US', of.columns],
    [0x00280100, 'US', of.allocated ?? of.bits],
    [0x00280101, 'US', of.bits],
    [0x00280102, 'US', of.bits - 1],
    [0x00280103, 'US', 0],
  ];
}

function planes(pixels: Uint8Array): Uint8Array {
  const count = pixels.length / 3;
  return Uint8Array.from(pixels, (_, i) => pixels[(i % count) * 3 + Math.floor(i / count)]!);
}

function ycbcr(pixels: Uint8Array): Uint8Array {
  const out = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const [red, green, blue] = [pixels[i]!, pixels[i + 1]!, pixels[i + 2]!];
    out[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
    out[i + 1] = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue;
    out[i + 2] = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue;
  }
  return new Uint8Array(out.buffer);
}

/** Two pixels share the colour of the first: Y, Y, Cb, Cr. */
function halved(full: Uint8Array): Uint8Array {
  const out = new Uint8Array((full.length / 3) * 2);
  for (let from = 0, to = 0; from < full.length; from += 6, to += 4)
    out.set([full[from]!, full[from + 3]!, full[from + 1]!, full[from + 2]!], to);
  return out;
}

/** Each colour of the picture has its place in the palette; a picture has at most 65,536. */
function throughPalette({ pixels, rows, columns }: ColourPicture): PictureCoding {
  const places = new Map<number, number>();
  const indices = new Uint16Array(rows * columns);
  for (let i = 0; i < indices.length; i++) {
    const colour = pixels[i * 3]! * 65_536 + pixels[i * 3 + 1]! * 256 + pixels[i * 3 + 2]!;
    if (!places.has(colour)) places.set(colour, places.size);
    indices[i] = places.get(colour)!;
  }
  if (places.size >= 65_536) throw new Error('a picture with too many colours for a palette');
  const table = (shift: number) => words(Array.from(places.keys(), (colour) => Math.floor(colour / 2 ** shift) % 256));
  const descriptor = words([places.size, 0, 16]);
  return {
    elements: [
      ...imagePixel({ rows, columns, bits: 16, samples: 1, photometric: 'PALETTE COLOR' }),
      ...[0x00281101, 0x00281102, 0x00281103].map((tag): Element => [tag, 'US', descriptor]),
      [0x00281201, 'OW', table(16)],
      [0x00281202, 'OW', table(8)],
      [0x00281203, 'OW', table(0)],
    ],
    pixelData: words(indices),
  };
}

/** Little-endian bytes of 16-bit words. */
export const words = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Uint16Array.from(values).buffer);
