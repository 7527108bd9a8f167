import type { RetrieveReply, RetrieveRequest } from '../../../connectors/connector.js';
import { byteStream } from '../../../connectors/dicom/byte-source.js';
import { multipartRelated, type Part } from '../../../connectors/dicom/multipart.js';
import { SourceError } from '../../../connectors/connector.js';
import type { PixelRoom } from '../../imaging/pixels/pixel-room.js';
import type { Retrieval } from '../../imaging/retrieve.js';
import { notAcceptable } from '../../outcomes.js';
import type { Chosen, Offer } from '../accept.js';
import type { ResourceKind, WadoRequest } from '../wado-request.js';

/** A request that policy has released, and what answers it. */
export interface Answering {
  wanted: WadoRequest;
  retrieval: Retrieval;
  room: PixelRoom;
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
  /** Root of the DICOMweb face, for addresses in answers. */
  baseUrl: string;
  /** Opens the source; `frames` are wanted instead of those of the request. @throws SourceError */
  ask(representation: RetrieveRequest['representation'], frames?: number[]): Promise<RetrieveReply>;
}

/** One kind of resource, and how it is answered. */
export interface AnsweredKind extends ResourceKind {
  /** A study or series is answered by one instance that stands for it. */
  isRepresentative?: boolean;
  /** Media types that this request can be answered in, by what the index knows of what is wanted. */
  fitting(answering: Answering): readonly Offer[];
  /** Resolves when the first bytes are at hand. @throws SourceError, PixelFailure or Refusal */
  answer(answering: Answering, chosen: Chosen<Offer>): Promise<RetrieveReply>;
}

export const both = (type: string): Offer[] => [
  { type, framing: 'multipart' },
  { type, framing: 'single' },
];

/** Offers without single parts where there is more than one. */
export const framings = (offers: readonly Offer[], parts: number): Offer[] =>
  offers.filter(({ framing }) => framing === 'multipart' || parts === 1);

/** The answer in its framing, once its first part is there. */
export async function framed({ type, framing }: Offer, parts: AsyncGenerator<Part>): Promise<RetrieveReply> {
  const first = await parts.next();
  if (first.done) throw notAcceptable('Nothing of this can be answered in the media types of the Accept header.');
  if (framing === 'single') return { contentType: first.value.contentType, body: byteStream(onlyPart(first.value, parts)) };
  return multipartRelated(type, startingWith(first.value, parts));
}

async function* onlyPart(first: Part, parts: AsyncGenerator<Part>): AsyncGenerator<Uint8Array> {
  yield* first.body;
  if (!(await parts.next()).done) throw new SourceError('bad-response', 'The source sends more than was asked for.');
}

async function* startingWith(first: Part, parts: AsyncGenerator<Part>): AsyncGenerator<Part> {
  yield first;
  yield* parts;
}

/** Media type of a part with its transfer syntax (PS3.18 section 8.7.3.5.2). */
export const labelled = (type: string, transferSyntaxUid: string | undefined): string =>
  transferSyntaxUid === undefined ? type : `${type}; transfer-syntax=${transferSyntaxUid}`;
