import { type RetrieveReply, type RetrieveRequest, SourceError } from '../connector.js';
import { type ByteSource, byteStream, chunks } from '../dicom/byte-source.js';
import { text } from '../dicom/describe.js';
import { frameIndex } from '../dicom/frames.js';
import { multipartRelated, type Part } from '../dicom/multipart.js';
import type { DicomObject } from '../dicom/part10.js';
import { part10Header } from '../dicom/part10-header.js';
import { DicomProblem } from '../dicom/problem.js';
import { readObject } from '../dicom/read-study.js';
import type { DicomJson } from '../dicom/values.js';
import { openLocator } from './locate.js';

/** An instance whose file was opened and found to be what was asked for. */
interface Opened {
  source: ByteSource;
  object: DicomObject;
  json: DicomJson;
}

type Instance = RetrieveRequest['instances'][number];

/**
 * Answers a WADO-RS request (PS3.18 section 10.4) from files, one after the other. The first file is opened before the reply is
 * given, so that what isn't there is an error and not half a message; a later file that fails ends the stream with an error.
 * @throws SourceError `not-found`, or `bad-response` when a file is no longer what was indexed.
 */
export async function retrieveFromFolder(root: string, request: RetrieveRequest, signal: AbortSignal): Promise<RetrieveReply> {
  const [first, ...rest] = request.instances;
  if (first === undefined) throw new SourceError('not-found', 'The folder holds no such instance.');
  const opened = await openInstance(root, request.studyInstanceUid, first);
  const reply = await replyWith(request, inOrder(root, request.studyInstanceUid, opened, rest, signal));
  // A stream that is destroyed before it was read never runs the generator that closes its first file.
  reply.body.once('close', () => void opened.source.close());
  return reply;
}

async function replyWith(request: RetrieveRequest, instances: AsyncGenerator<Opened>): Promise<RetrieveReply> {
  if (request.representation === 'metadata')
    return { contentType: 'application/dicom+json', body: byteStream(metadata(instances)) };
  if (request.representation === 'instances') return multipartRelated('application/dicom', instanceParts(instances));
  return frames(instances, request.frames ?? []);
}

/** The instances one after the other, each closed when the next is asked for. */
async function* inOrder(
  root: string,
  studyInstanceUid: string,
  first: Opened,
  rest: Instance[],
  signal: AbortSignal,
): AsyncGenerator<Opened> {
  yield* closing(first);
  for (const instance of rest) {
    signal.throwIfAborted();
    yield* closing(await openInstance(root, studyInstanceUid, instance));
  }
}

async function* closing(opened: Opened): AsyncGenerator<Opened> {
  try {
    yield opened;
  } finally {
    await opened.source.close();
  }
}

/** Opens the file and makes sure that it still holds the instance that was authorised: files can be replaced. */
async function openInstance(root: string, studyInstanceUid: string, instance: Instance): Promise<Opened> {
  const source = await openLocator(root, instance.locator);
  try {
    const read = await readObject(source);
    const isSame =
      read.ok &&
      text(read.json, '0020000D') === studyInstanceUid &&
      text(read.json, '0020000E') === instance.seriesInstanceUid &&
      text(read.json, '00080018') === instance.sopInstanceUid;
    if (!isSame) throw new SourceError('bad-response', 'The file no longer holds the instance that was indexed.');
    return { source, object: read.object, json: read.json };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function* instanceParts(instances: AsyncIterable<Opened>): AsyncGenerator<Part> {
  for await (const opened of instances) {
    const { transferSyntaxUid } = opened.object;
    yield { contentType: `application/dicom; transfer-syntax=${transferSyntaxUid}`, body: part10Bytes(opened) };
  }
}

/** The file as it is, or with the header that PS3.10 demands when it has none. */
async function* part10Bytes({ source, object, json }: Opened): AsyncGenerator<Uint8Array> {
  if (object.isPart10) return yield* chunks(source);
  yield part10Header({
    sopClassUid: text(json, '00080016') ?? '',
    sopInstanceUid: text(json, '00080018') ?? '',
    transferSyntaxUid: object.transferSyntaxUid,
  });
  yield* chunks(source, object.dataSetOffset);
}

async function* metadata(instances: AsyncIterable<Opened>): AsyncGenerator<Uint8Array> {
  let separator = '[';
  for await (const { json } of instances) {
    yield Buffer.from(separator + JSON.stringify(json));
    separator = ',';
  }
  yield Buffer.from(']');
}

async function frames(instances: AsyncGenerator<Opened>, numbers: number[]): Promise<RetrieveReply> {
  const next = await instances.next();
  try {
    if (next.done) throw new SourceError('not-found', 'The folder holds no such instance.');
    const index = await frameIndex(next.value.object, next.value.json);
    if (numbers.length === 0 || numbers.some((number) => !Number.isInteger(number) || number < 1 || number > index.frames)) {
      throw new SourceError('not-found', 'The instance has no such frame.');
    }
    const contentType = `application/octet-stream; transfer-syntax=${index.transferSyntaxUid}`;
    return multipartRelated(
      'application/octet-stream',
      frameParts(instances, numbers, (frame) => ({ contentType, body: index.read(frame) })),
    );
  } catch (error) {
    await instances.return(undefined);
    throw error instanceof DicomProblem ? new SourceError('not-found', error.message, { cause: error }) : error;
  }
}

/** The parts of the frames; the instance is closed after the last one. */
async function* frameParts(
  instances: AsyncGenerator<Opened>,
  numbers: number[],
  part: (frame: number) => Part,
): AsyncGenerator<Part> {
  try {
    for (const frame of numbers) yield part(frame);
  } finally {
    await instances.return(undefined);
  }
}
