import type { RetrieveReply } from '../../../connectors/connector.js';
import { transferSyntaxes } from '../../../connectors/dicom/part10.js';
import type { Part } from '../../../connectors/dicom/multipart.js';
import { partsOf } from '../../imaging/parts.js';
import type { PixelTask } from '../../imaging/pixels/messages.js';
import type { Chosen, Offer } from '../accept.js';
import { type AnsweredKind, type Answering, both, framed, framings, labelled } from './kind.js';
import { onlyObject } from './only-object.js';

const octets = 'application/octet-stream';
const syntax = (suffix: string): string => `1.2.840.10008.1.2.${suffix}`;

/** Media types of compressed frames (PS3.18 tables 8.7.3-4 and 8.7.3-5), by the transfer syntaxes that they are stored in. */
const compressed: Readonly<Record<string, string[]>> = {
  'image/jpeg': [syntax('4.50'), syntax('4.51'), syntax('4.57'), syntax('4.70')],
  'image/jls': [syntax('4.80'), syntax('4.81')],
  'image/jp2': [syntax('4.90'), syntax('4.91')],
  'image/jpx': [syntax('4.92'), syntax('4.93')],
  'image/jphc': [syntax('4.201'), syntax('4.202'), syntax('4.203')],
  'image/dicom-rle': [syntax('5')],
  'video/mpeg': [syntax('4.100'), syntax('4.101')],
  'video/mp4': [syntax('4.102'), syntax('4.103'), syntax('4.104'), syntax('4.105'), syntax('4.106')],
};
/** Whose frames are the same bytes as in Explicit VR Little Endian. */
const plain: ReadonlySet<string> = new Set([transferSyntaxes.implicitLittleEndian, transferSyntaxes.explicitLittleEndian]);

/** Frames (PS3.18 section 10.4.1.1.3): uncompressed, or as they are stored. */
export const frames: AnsweredKind = {
  offers: [octets, ...Object.keys(compressed)].flatMap(both),
  parameters: [],
  fitting: (answering) => fittingFrames(answering, answering.wanted.frames?.length ?? 1),
  answer: (answering, chosen) => answerFrames(answering, chosen, answering.wanted.frames),
};

/** Uncompressed, and in the media type that the frames are stored in. */
export function fittingFrames({ retrieval, wanted: { ranges } }: Answering, count: number): Offer[] {
  const stored = retrieval.stored[0]?.transferSyntaxUid;
  const asStored = Object.keys(compressed).filter((type) => stored !== undefined && compressed[type]!.includes(stored));
  const fits = (type: string, uid: string | undefined): boolean =>
    ranges.some(
      (range) => range.type === type && (range.transferSyntax === undefined || ['*', uid].includes(range.transferSyntax)),
    );
  return framings([octets, ...asStored.filter((type) => fits(type, stored))].flatMap(both), count);
}

/** @param numbers of the frames; undefined where the index does not tell how many there are, and all are meant. */
export async function answerFrames(
  answering: Answering,
  { offer, ranges }: Chosen<Offer>,
  numbers: number[] | undefined,
): Promise<RetrieveReply> {
  const stored = answering.retrieval.stored[0]?.transferSyntaxUid;
  const named = new Set(ranges.map(({ transferSyntax }) => transferSyntax));
  const isAsStored = offer.type !== octets || named.has('*') || (stored && (plain.has(stored) || named.has(stored)));
  if (!isAsStored || !numbers) {
    const task: PixelTask = { kind: 'frames', ...(numbers && { frames: numbers }) };
    return framed(offer, decodedFrames(answering, task));
  }
  const reply = await answering.ask('frames', numbers);
  if (offer.framing === 'multipart' && offer.type === octets) return reply;
  return framed(offer, relabelled(partsOf(reply.contentType, reply.body), offer, stored));
}

async function* relabelled(parts: ReturnType<typeof partsOf>, { type }: Offer, stored: string | undefined): AsyncGenerator<Part> {
  for await (const part of parts) {
    const stated = /transfer-syntax="?([\d.]+)/i.exec(part.contentType)?.[1];
    yield { contentType: labelled(type, stated ?? stored), body: part.body };
  }
}

async function* decodedFrames(answering: Answering, task: PixelTask): AsyncGenerator<Part> {
  for await (const { head, body } of await onlyObject(answering, task))
    yield { contentType: labelled(head.mediaType, head.transferSyntaxUid), body };
}
