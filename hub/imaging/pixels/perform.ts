import type { ByteSource } from '../../../connectors/dicom/byte-source.js';
import { frameIndex } from '../../../connectors/dicom/frames.js';
import { decodeFrame } from '../../../connectors/dicom/pixels/decode-frame.js';
import { imagePixel } from '../../../connectors/dicom/pixels/image-pixel.js';
import { present } from '../../../connectors/dicom/pixels/presentation.js';
import { PixelProblem } from '../../../connectors/dicom/pixels/problem.js';
import { asCells, bytesOf, transcode } from '../../../connectors/dicom/pixels/transcode.js';
import { type DicomObject, openDicom, transferSyntaxes } from '../../../connectors/dicom/part10.js';
import { toDicomJson } from '../../../connectors/dicom/to-json.js';
import type { DicomJson } from '../../../connectors/dicom/values.js';
import { bulkValue } from './bulk-value.js';
import type { PartHead, PixelTask, Rendering } from './messages.js';
import { primed } from '../primed.js';
import { encodePicture } from './picture.js';

/** The object has no such frame or attribute. */
export class NoSuchPart extends Error {}

export interface Part {
  head: PartHead;
  body: AsyncIterable<Uint8Array>;
}

/** Does one task with one object. @throws PixelProblem, DicomProblem or NoSuchPart */
export async function* perform(task: PixelTask, source: ByteSource): AsyncGenerator<Part> {
  const object = await openDicom(source);
  const json = toDicomJson(object);
  if (task.kind === 'transcode') {
    const head = { mediaType: 'application/dicom', transferSyntaxUid: transferSyntaxes.explicitLittleEndian };
    // The head goes out when the first bytes are there: an object that can't be done is a failure, not an empty part.
    yield { head, body: await primed(transcode(object, json)) };
    return;
  }
  if (task.kind === 'bulk') {
    const value = bulkValue(object, task.path);
    if (!value) throw new NoSuchPart('The object has no such attribute.');
    yield { head: value.head, body: value.body };
    return;
  }
  yield* decoded(task, object, json);
}

type FrameTask = Extract<PixelTask, { kind: 'frames' | 'render' }>;

async function* decoded(task: FrameTask, object: DicomObject, json: DicomJson): AsyncGenerator<Part> {
  if (!object.pixelData) throw new PixelProblem('unsupported', 'The object has no pixels.');
  const index = await frameIndex(object, json);
  const image = imagePixel(json, index.transferSyntaxUid);
  const wanted = task.frames ?? Array.from({ length: index.frames }, (_, i) => i + 1);
  if (wanted.some((frame) => frame < 1 || frame > index.frames)) throw new NoSuchPart('The object has no such frame.');
  for (const frame of wanted) {
    const pixels = await decodeFrame(await bytesOf(index.read(frame)), image);
    if (task.kind === 'frames') {
      const head = { mediaType: 'application/octet-stream', transferSyntaxUid: transferSyntaxes.explicitLittleEndian, frame };
      yield { head, body: once(asCells(pixels, image)) };
    } else {
      const picture = present(pixels, json, image, frame, task.window);
      yield { head: { mediaType: task.type, frame }, body: once(await encodePicture(picture, task satisfies Rendering)) };
    }
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
