import { type Decode, decoderFor } from '../charset.js';
import type { DataSet, Element } from '../data-set.js';
import { inCharacterSet } from '../values.js';
import { elementBytes, elementHead, itemBytes, undefinedLength } from './encode.js';

const specificCharacterSet = '00080005';
const esc = 0x1b;

/** The values of Specific Character Set (0008,0005) of a data set or an item; undefined when it has none of its own. */
export const characterSetOf = (dataSet: DataSet): string[] | undefined =>
  dataSet.elements.get(specificCharacterSet)?.value?.toString('latin1').replace(/\0/g, '').split('\\');

/**
 * The elements of a data set with their text in UTF-8, by tag; those that stay as they are do not appear. Text is known by its value
 * representation: what is private and sent in implicit VR, or as UN, stays as it is.
 * @param body the bytes that the elements' positions refer to. @throws DicomProblem
 */
export function textInUtf8(dataSet: DataSet, body: Buffer): Map<string, Buffer> {
  return recoded(dataSet, body, decoderFor([]));
}

function recoded(dataSet: DataSet, body: Buffer, outer: Decode): Map<string, Buffer> {
  const own = characterSetOf(dataSet);
  const decode = own ? decoderFor(own) : outer;
  const changed = new Map<string, Buffer>();
  for (const element of dataSet.elements.values()) {
    const bytes = element.items ? recodedSequence(element, dataSet, body, decode) : recodedText(element, dataSet, body, decode);
    if (bytes) changed.set(element.tag, bytes);
  }
  if (own) changed.set(specificCharacterSet, elementBytes(specificCharacterSet, 'CS', Buffer.from('ISO_IR 192'), dataSet));
  return changed;
}

function recodedText({ tag, vr, offset, end }: Element, dataSet: DataSet, body: Buffer, decode: Decode): Buffer | undefined {
  const value = body.subarray(offset, end);
  if (!inCharacterSet.has(vr) || value.every((byte) => byte < 0x80 && byte !== esc)) return undefined;
  return elementBytes(tag, vr, Buffer.from(decode(value).replace(/[\0 ]$/, ''), 'utf8'), dataSet);
}

function recodedSequence(element: Element, dataSet: DataSet, body: Buffer, decode: Decode): Buffer | undefined {
  const items = element.items ?? [];
  const changes = items.map((item) => recoded(item, body, decode));
  if (changes.every((change) => change.size === 0)) return undefined;
  const written = Buffer.concat(items.map((item, i) => itemOf(item, body, changes[i]!)));
  // A sequence that was sent as UN has its own encoding inside (PS3.5 6.2.2): it stays UN.
  const vr = dataSet.explicit ? body.toString('latin1', element.start + 4, element.start + 6) : 'SQ';
  const isDelimited = element.length < 0;
  const head = elementHead(element.tag, vr, isDelimited ? undefinedLength : written.length, dataSet);
  return Buffer.concat([head, written, ...(isDelimited ? [elementHead('FFFEE0DD', '', 0, items[0] ?? dataSet)] : [])]);
}

function itemOf(item: DataSet, body: Buffer, changes: ReadonlyMap<string, Buffer>): Buffer {
  const { start, end, isDelimited } = item.item!;
  const content: Buffer[] = [];
  let position = start;
  for (const element of item.elements.values()) {
    content.push(body.subarray(position, element.start));
    // Group lengths (retired, PS3.5 7.2) would no longer be right.
    if (!element.tag.endsWith('0000')) content.push(changes.get(element.tag) ?? body.subarray(element.start, element.end));
    position = element.end;
  }
  const written = Buffer.concat([...content, body.subarray(position, end)]);
  if (!isDelimited) return itemBytes(written, item);
  return Buffer.concat([elementHead('FFFEE000', '', undefinedLength, item), written, elementHead('FFFEE00D', '', 0, item)]);
}
