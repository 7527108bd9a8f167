import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { bufferSource, fileSource } from '../../connectors/dicom/byte-source.js';
import { text } from '../../connectors/dicom/describe.js';
import { frameIndex } from '../../connectors/dicom/frames.js';
import { openDicom } from '../../connectors/dicom/part10.js';
import { decodeFrame } from '../../connectors/dicom/pixels/decode-frame.js';
import { type ImagePixel, imagePixel } from '../../connectors/dicom/pixels/image-pixel.js';
import { type Picture, paddingOf, present } from '../../connectors/dicom/pixels/presentation.js';
import { PixelProblem } from '../../connectors/dicom/pixels/problem.js';
import { bytesOf } from '../../connectors/dicom/pixels/transcode.js';
import { DicomProblem } from '../../connectors/dicom/problem.js';
import { toDicomJson } from '../../connectors/dicom/to-json.js';
import type { DicomJson } from '../../connectors/dicom/values.js';
import { failure, type Outcome, success } from '../outcome.js';

/** An image of a study that is looked at on its own: a photograph or a radiograph, unlike a slice of a volume. */
export interface PictureFile {
  path: string;
  header: DicomJson;
  image: ImagePixel;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
}

/** An opened file. */
export interface OpenedPicture {
  /** SHA-256 of the file (hex). */
  sha256: string;
  /** A frame as a viewer shows it: 8 bits, grey bright on black or RGB. Frames count from 1. */
  frame(number: number): Promise<Outcome<Picture>>;
}

const largestFile = 256 * 1024 * 1024;

/**
 * Reads the headers of a study's images, by series and instance number. Objects without pixels are left aside, the same object sent twice
 * counts once. `malformed-input` for a file that is no DICOM object or contradicts itself, or files of several studies.
 */
export async function readPictureFiles(paths: string[]): Promise<Outcome<PictureFile[]>> {
  const pictures = new Map<string, PictureFile>();
  for (const path of paths) {
    const read = await guarded(() => describe(path));
    if (!read.ok) return read;
    if (read.value) pictures.set(read.value.sopInstanceUid, read.value);
  }
  const ordered = [...pictures.values()].sort((a, b) => numberOf(a, '00200011') - numberOf(b, '00200011') || byInstance(a, b));
  if (new Set(ordered.map((picture) => picture.studyInstanceUid)).size > 1)
    return failure('malformed-input', 'The files are of several studies.');
  return success(ordered);
}

const numberOf = ({ header }: PictureFile, tag: string): number => Number(text(header, tag)) || 0;

const byInstance = (a: PictureFile, b: PictureFile): number =>
  numberOf(a, '00200013') - numberOf(b, '00200013') || (a.sopInstanceUid < b.sopInstanceUid ? -1 : 1);

async function describe(path: string): Promise<PictureFile | undefined> {
  const source = await fileSource(path);
  try {
    const object = await openDicom(source);
    if (!object.pixelData) return undefined;
    const header = toDicomJson(object);
    const uid = (tag: string) => text(header, tag) ?? missing();
    return {
      path,
      header,
      image: imagePixel(header, object.transferSyntaxUid),
      studyInstanceUid: uid('0020000D'),
      seriesInstanceUid: uid('0020000E'),
      sopInstanceUid: uid('00080018'),
    };
  } finally {
    await source.close();
  }
}

function missing(): never {
  throw new PixelProblem('malformed', 'An image lacks one of its unique identifiers.');
}

/** Opens a file for its frames. It is read once: what is hashed is what is decoded. */
export function openPicture({ path, header }: PictureFile): Promise<Outcome<OpenedPicture>> {
  return guarded(async () => {
    const bytes = await readFile(path);
    if (bytes.length > largestFile) throw new PixelProblem('too-large', 'The file is too large for one image.');
    const index = await frameIndex(await openDicom(bufferSource(bytes)), header);
    const image = imagePixel(header, index.transferSyntaxUid);
    const frame = async (number: number): Promise<Picture> => {
      const decoded = await decodeFrame(await bytesOf(index.read(number)), image);
      const picture = present(decoded, header, image, number);
      if (picture.channels === 1) blacken(picture, decoded.samples, paddingOf(header, image.signed));
      return picture;
    };
    return {
      sha256: createHash('sha256').update(bytes).digest('hex'),
      frame: (number: number) => guarded(() => frame(number)),
    };
  });
}

/** Padding is no image: black, also where low values are bright. */
function blacken({ pixels }: Picture, samples: ArrayLike<number>, { from, to }: { from: number; to: number }): void {
  if (from > to) return;
  for (let i = 0; i < pixels.length; i++) if (samples[i]! >= from && samples[i]! <= to) pixels[i] = 0;
}

async function guarded<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return success(await work());
  } catch (error) {
    if (error instanceof DicomProblem) return failure('malformed-input', 'A file is not a readable DICOM object.');
    if (!(error instanceof PixelProblem)) throw error;
    return failure(error.code === 'malformed' ? 'malformed-input' : 'not-applicable', error.message);
  }
}
