import { type RetrieveReply, type RetrieveRequest, SourceError } from '../../connector.js';
import { bufferSource, type ByteSource, byteStream } from '../../dicom/byte-source.js';
import { frameIndex } from '../../dicom/frames.js';
import { multipartRelated, type Part } from '../../dicom/multipart.js';
import { part10Header } from '../../dicom/part10-header.js';
import { DicomProblem } from '../../dicom/problem.js';
import { readObject } from '../../dicom/read-study.js';
import { type ReceivedObject, readHeader } from '../services/received-object.js';
import type { DimseSource } from '../source.js';
import { spool } from './spool.js';
import { wantedObjects } from './wanted-objects.js';

/**
 * Answers a WADO-RS request (PS3.18 section 10.4) by C-GET. The first object is there before the reply is given, so that what isn't there is an error and not half a
 * message; a retrieval that fails later ends the stream with an error. A reader who goes away aborts the association.
 * @throws SourceError.
 */
export async function retrieveByGet(source: DimseSource, request: RetrieveRequest, signal: AbortSignal): Promise<RetrieveReply> {
  const gone = new AbortController();
  const objects = wantedObjects(source, request, AbortSignal.any([signal, gone.signal]));
  const giveUp = (): void => gone.abort(new SourceError('unreachable', 'The retrieval was given up.'));
  try {
    const first = await objects.next();
    if (first.done) throw new SourceError('not-found', 'The PACS has no such instance.');
    const reply = await replyWith(request, beginningWith(first.value, objects));
    reply.body.once('close', giveUp);
    return reply;
  } catch (error) {
    giveUp();
    throw error;
  }
}

async function* beginningWith(first: ReceivedObject, rest: AsyncGenerator<ReceivedObject>): AsyncGenerator<ReceivedObject> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

async function replyWith(request: RetrieveRequest, objects: AsyncIterable<ReceivedObject>): Promise<RetrieveReply> {
  if (request.representation === 'metadata')
    return { contentType: 'application/dicom+json', body: byteStream(metadata(objects)) };
  if (request.representation === 'instances') return multipartRelated('application/dicom', instanceParts(objects));
  return frames(objects, request.frames ?? []);
}

async function* instanceParts(objects: AsyncIterable<ReceivedObject>): AsyncGenerator<Part> {
  for await (const object of objects)
    yield { contentType: `application/dicom; transfer-syntax=${object.transferSyntaxUid}`, body: part10(object) };
}

/** C-STORE carries the data set alone: with the header that PS3.10 demands it is a file. */
async function* part10(object: ReceivedObject): AsyncGenerator<Uint8Array> {
  yield part10Header(object);
  yield* object.data;
}

async function* metadata(objects: AsyncIterable<ReceivedObject>): AsyncGenerator<Uint8Array> {
  let separator = '[';
  for await (const object of objects) {
    const { json } = await orBadResponse(readHeader(object));
    yield Buffer.from(separator + JSON.stringify(json));
    separator = ',';
  }
  yield Buffer.from(']');
}

/** Frames lie anywhere in an object, so it is held until they are read. */
async function frames(objects: AsyncIterable<ReceivedObject>, numbers: number[]): Promise<RetrieveReply> {
  const held: ByteSource[] = [];
  try {
    for await (const object of objects) held.push(await spool(part10(object)));
    const read = await readObject(held[0] ?? bufferSource(Buffer.alloc(0)));
    if (!read.ok) throw unreadable(read.detail);
    const index = await frameIndex(read.object, read.json);
    if (numbers.length === 0 || numbers.some((number) => !Number.isInteger(number) || number < 1 || number > index.frames))
      throw new SourceError('not-found', 'The instance has no such frame.');
    const contentType = `application/octet-stream; transfer-syntax=${index.transferSyntaxUid}`;
    const reply = multipartRelated(
      'application/octet-stream',
      each(numbers.map((number) => ({ contentType, body: index.read(number) }))),
    );
    reply.body.once('close', () => void closeAll(held));
    return reply;
  } catch (error) {
    await closeAll(held);
    throw error instanceof DicomProblem ? new SourceError('not-found', error.message, { cause: error }) : error;
  }
}

const closeAll = (sources: readonly ByteSource[]): Promise<unknown> => Promise.all(sources.map((source) => source.close()));
const unreadable = (detail: string): SourceError =>
  new SourceError('bad-response', `The PACS sends what can't be read: ${detail}`);

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function orBadResponse<T>(read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof DicomProblem) throw unreadable(error.message);
    throw error;
  }
}
