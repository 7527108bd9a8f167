import type { Encoding } from '../data-set.js';
import { DicomProblem } from '../problem.js';
import { hasLongForm } from '../vr.js';

/** A Data Element with its value (PS3.5 7.1), in the encoding of the data set that it is for. The value gets its padding. */
export function elementBytes(tag: string, vr: string, value: Buffer, encoding: Encoding): Buffer {
  const padded = value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.from(vr === 'UI' ? '\0' : ' ')]);
  return Buffer.concat([elementHead(tag, vr, padded.length, encoding), padded]);
}

/** A Sequence of Items of stated length (PS3.5 7.5). */
export function sequenceBytes(tag: string, items: readonly Buffer[], encoding: Encoding, vr = 'SQ'): Buffer {
  return elementBytes(tag, vr, Buffer.concat(items.map((item) => itemBytes(item, encoding))), encoding);
}

/** An item of stated length around its elements. */
export const itemBytes = (content: Buffer, encoding: Encoding): Buffer =>
  Buffer.concat([elementHead('FFFEE000', '', content.length, encoding), content]);

/** @param length in bytes; `undefinedLength` for a sequence or item that a delimiter ends. @throws DicomProblem when it has no place. */
export function elementHead(tag: string, vr: string, length: number, { explicit, littleEndian }: Encoding): Buffer {
  const isShort = explicit && !tag.startsWith('FFFE') && !hasLongForm(vr);
  if (isShort && length > 0xfffe) throw new DicomProblem('too-large', `Element ${tag} does not hold its text in UTF-8.`);
  const head = Buffer.alloc(explicit && hasLongForm(vr) ? 12 : 8);
  const uint16 = (value: number, at: number) => (littleEndian ? head.writeUInt16LE(value, at) : head.writeUInt16BE(value, at));
  const uint32 = (value: number, at: number) => (littleEndian ? head.writeUInt32LE(value, at) : head.writeUInt32BE(value, at));
  uint16(Number.parseInt(tag.slice(0, 4), 16), 0);
  uint16(Number.parseInt(tag.slice(4), 16), 2);
  if (explicit && !tag.startsWith('FFFE')) head.write(vr, 4, 'latin1');
  if (isShort) uint16(length, 6);
  else uint32(length, head.length - 4);
  return head;
}

export const undefinedLength = 0xffffffff;
