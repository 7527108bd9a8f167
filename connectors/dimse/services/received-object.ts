import type { StudyDescription, UnreadableItem } from '../../connector.js';
import { readDataSet } from '../../dicom/data-set.js';
import { describeInstance, type KnownUids, knownUids, text } from '../../dicom/describe.js';
import { copyDigest } from '../../dicom/metadata-digest.js';
import { encodingOf, transferSyntaxes } from '../../dicom/part10.js';
import { DicomProblem, defaultLimits } from '../../dicom/problem.js';
import { inflated, streamSource } from '../../dicom/stream-source.js';
import { toDicomJson } from '../../dicom/to-json.js';
import type { DicomJson } from '../../dicom/values.js';
import { resourcePath } from '../../dicomweb/resource.js';

/** An object that comes by C-STORE: its data set is read once, and acknowledged when it was read to its end. */
export interface ReceivedObject {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  data: AsyncIterable<Uint8Array>;
}

export type ReadItem = { kind: 'study'; study: StudyDescription } | { kind: 'unreadable'; item: UnreadableItem };

/** Longer than any object: what goes on beyond it comes from no archive. */
export const maxObjectBytes = 32 * 1024 * 1024 * 1024;

/**
 * Reads an object to its end, its header into a study that holds this instance alone; nothing else of it is held. What can't be taken is an item with its reason.
 * @param options.maxBytes a longer object is not taken.
 * @throws what reading `object.data` throws.
 */
export async function readObject(
  object: ReceivedObject,
  { defaultUtcOffset, maxBytes }: { defaultUtcOffset?: string; maxBytes: number },
): Promise<ReadItem> {
  const bytes = counted(object.data, maxBytes);
  let known: KnownUids = { sopInstanceUid: object.sopInstanceUid };
  try {
    const header = await readHeader({ ...object, data: bytes.data });
    known = { ...known, ...knownUids(header.json) };
    for await (const _ of bytes.data) void _;
    if (header.end !== undefined && bytes.length() < header.end)
      throw new DicomProblem('truncated', 'The object ends inside its pixel data.');
    return describeObject(object, header.json, defaultUtcOffset);
  } catch (error) {
    if (!(error instanceof DicomProblem)) throw error;
    return unreadable(known, { reason: error.reason, detail: error.message });
  }
}

/**
 * The attributes of an object up to its pixel data, and where that ends when it says so. The rest is left in `data`.
 * @param wanted ends the reading before the first element that it refuses.
 * @throws DicomProblem when it isn't a data set of its transfer syntax, is cut short, or beyond the limits.
 */
export async function readHeader(
  { data, transferSyntaxUid }: Pick<ReceivedObject, 'data' | 'transferSyntaxUid'>,
  wanted?: (tag: string) => boolean,
): Promise<{ json: DicomJson; end?: number }> {
  const isDeflated = transferSyntaxUid === transferSyntaxes.deflatedLittleEndian;
  const source = streamSource(isDeflated ? inflated(data, defaultLimits.maxInflatedBytes) : data, defaultLimits.maxHeaderBytes);
  const { dataSet, pixelData } = await readDataSet(source, 0, encodingOf(transferSyntaxUid), defaultLimits, wanted);
  const hasEnd = pixelData !== undefined && pixelData.length >= 0 && !isDeflated;
  return {
    json: toDicomJson({ dataSet, pixelData, transferSyntaxUid }),
    ...(hasEnd ? { end: pixelData.offset + pixelData.length } : {}),
  };
}

/** The header as a study, unless the data set is of another object than its sender says. */
function describeObject(object: ReceivedObject, json: DicomJson, defaultUtcOffset: string | undefined): ReadItem {
  const whole = { '00080016': uid(object.sopClassUid), '00080018': uid(object.sopInstanceUid), ...json };
  const known = knownUids(whole);
  const isSame = text(whole, '00080018') === object.sopInstanceUid && text(whole, '00080016') === object.sopClassUid;
  if (!isSame)
    return unreadable(known, { reason: 'malformed', detail: 'The data set is of another object than the message says.' });
  const { transferSyntaxUid } = object;
  const described = describeInstance(whole, {
    digest: copyDigest(json),
    locator: locatorOf(known),
    transferSyntaxUid,
    defaultUtcOffset,
  });
  return described.ok ? { kind: 'study', study: described.study } : unreadable(known, described);
}

/** Where an object is found again: its UIDs, as far as they are known. */
export const locatorOf = ({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: KnownUids): string => {
  if (studyInstanceUid === undefined) return `instances/${sopInstanceUid ?? ''}`;
  return resourcePath({ studyInstanceUid, seriesInstanceUid, sopInstanceUid: seriesInstanceUid && sopInstanceUid });
};

export function unreadable(known: KnownUids, { reason, detail }: Pick<UnreadableItem, 'reason' | 'detail'>): ReadItem {
  return { kind: 'unreadable', item: { locator: locatorOf(known), ...known, reason, detail } };
}

function counted(source: AsyncIterable<Uint8Array>, most: number): { data: AsyncGenerator<Uint8Array>; length(): number } {
  let length = 0;
  async function* count(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      length += chunk.length;
      if (length > most) throw new DicomProblem('too-large', `The object is longer than ${most} bytes.`);
      yield chunk;
    }
  }
  return { data: count(), length: () => length };
}

const uid = (value: string) => ({ vr: 'UI', Value: [value] });
