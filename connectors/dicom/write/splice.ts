import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';
import type { Element } from '../data-set.js';
import { type DicomObject, transferSyntaxes, uidOf } from '../part10.js';
import { part10Header } from '../part10-header.js';
import { DicomProblem } from '../problem.js';

/** Bytes of a whole element that takes the place of the one that stands there, or is added; null: it is left out. */
export type Replacements = ReadonlyMap<string, Buffer | null>;

const deflate = promisify(deflateRaw) as (bytes: Buffer) => Promise<Buffer>;

/** Length to End (0008,0001) and group lengths (retired) tell of bytes that change. */
const lengthToEnd = '00080001';

/**
 * The object as a PS3.10 file in which only these elements of its data set differ: all others, pixel data and private ones included, and the File
 * Meta Information are the same bytes as before.
 * @throws DicomProblem `malformed` when the object has an element twice or elements in the wrong place, so that old values would remain.
 */
export async function splice(object: DicomObject, file: Buffer, replacements: Replacements): Promise<Buffer> {
  const body = await object.body.read(0, object.body.length);
  const isDeflated = object.transferSyntaxUid === transferSyntaxes.deflatedLittleEndian;
  const dataSet = Buffer.concat(await pieces(object, body, isDeflated ? 0 : object.dataSetOffset, replacements));
  return Buffer.concat([headerOf(object, file), isDeflated ? await deflate(dataSet) : dataSet]);
}

function headerOf(object: DicomObject, file: Buffer): Buffer {
  if (object.isPart10) return file.subarray(0, object.dataSetOffset);
  const [sopClassUid, sopInstanceUid] = [uidOf(object.dataSet, '00080016'), uidOf(object.dataSet, '00080018')];
  if (!sopClassUid || !sopInstanceUid)
    throw new DicomProblem('missing-identifier', 'The object has no SOP Class or Instance UID.');
  return part10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid: object.transferSyntaxUid });
}

async function pieces(object: DicomObject, body: Buffer, start: number, replacements: Replacements): Promise<Buffer[]> {
  const elements = [...object.dataSet.elements.values()];
  const end = object.pixelData?.start ?? elements.at(-1)?.end ?? start;
  assertOrderly(elements, start, end);
  await assertNothingLate(object, body);
  const pending = [...replacements].filter(([tag]) => !object.dataSet.elements.has(tag)).sort(([a], [b]) => (a < b ? -1 : 1));
  const added = (before?: string): Buffer[] => {
    const due = before === undefined ? pending.length : pending.findIndex(([tag]) => tag > before);
    return pending.splice(0, due < 0 ? pending.length : due).flatMap(([, bytes]) => bytes ?? []);
  };
  const groups = new Set([...replacements.keys()].map((tag) => tag.slice(0, 4)));
  const kept = elements.flatMap((element) => {
    const { tag } = element;
    const isWrongLength = tag === lengthToEnd || (tag.endsWith('0000') && groups.has(tag.slice(0, 4)));
    const replacement = isWrongLength ? null : replacements.get(tag);
    const own =
      replacement === undefined ? [body.subarray(element.start, element.end)] : replacement === null ? [] : [replacement];
    return [...added(tag), ...own];
  });
  return [...kept, ...added(), body.subarray(end)];
}

/** Each element stands once (PS3.5 7.1): of two with one tag the reader keeps one, which leaves a hole where the other is. */
function assertOrderly(elements: readonly Element[], start: number, end: number): void {
  let position = start;
  for (const element of elements) {
    if (element.start !== position) throw new DicomProblem('malformed', `Element ${element.tag} or one beside it stands twice.`);
    position = element.end;
  }
  if (position !== end) throw new DicomProblem('malformed', 'The elements of the object can not be told apart.');
}

/** After the pixel data only what belongs there: signatures and padding. */
async function assertNothingLate({ pixelData, dataSet }: DicomObject, body: Buffer): Promise<void> {
  if (!pixelData) return;
  const after = pixelData.length >= 0 ? pixelData.offset + pixelData.length : endOfFragments(pixelData, body);
  if (after + 8 > body.length) return;
  const uint16 = (at: number) => (dataSet.littleEndian ? body.readUInt16LE(at) : body.readUInt16BE(at));
  const group = uint16(after);
  if (group !== 0 && group < 0x7fe0)
    throw new DicomProblem('malformed', 'Elements stand after the pixel data that belong before it.');
}

function endOfFragments({ offset }: Element, body: Buffer): number {
  let position = offset;
  while (position + 8 <= body.length) {
    const tag = body.readUInt32LE(position);
    const length = body.readUInt32LE(position + 4);
    position += 8;
    if (tag === 0xe0ddfffe) return position;
    if (tag !== 0xe000fffe) throw new DicomProblem('malformed', 'The pixel data holds something else than items.');
    position += length;
  }
  return body.length;
}
