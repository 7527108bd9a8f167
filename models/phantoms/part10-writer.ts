import { deflateRawSync } from 'node:zlib';
import { type TransferSyntaxUid, transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import { type CharacterSet, encodeText } from './character-set.js';

/** One data element: tag as 0xggggeeee, value representation, value. Text may hold `\` between several values. */
export type Element =
  | [tag: number, vr: TextVr, value: string]
  | [tag: number, vr: 'US' | 'UL', value: number]
  /** Several US are given as their little-endian words. */
  | [tag: number, vr: 'OB' | 'OW' | 'US', value: Uint8Array]
  | [tag: number, vr: 'SQ', value: { items: Element[][] }]
  | [tag: number, vr: 'OB', value: { fragments: Uint8Array[] }];

type TextVr = 'AE' | 'AS' | 'CS' | 'DA' | 'DS' | 'DT' | 'IS' | 'LO' | 'LT' | 'PN' | 'SH' | 'ST' | 'TM' | 'UI' | 'UT';

/** Value representations whose text follows Specific Character Set (PS3.5 section 6.1.2.2). */
const extendedText = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UT']);
const longHeader = new Set(['OB', 'OW', 'UT', 'SQ']);

/**
 * Writes a data set as a DICOM file (PS3.10): preamble, file meta information, data set. Elements may come in any order; empty text
 * is written as a zero-length element (type 2).
 */
export function writePart10(
  elements: Element[],
  options: { transferSyntaxUid: TransferSyntaxUid; characterSet: CharacterSet },
): Buffer {
  const { transferSyntaxUid, characterSet } = options;
  const explicit = transferSyntaxUid !== transferSyntax.implicitLittleEndian;
  const ordered = [...elements].sort(([a], [b]) => a - b);
  const body = Buffer.concat(ordered.map((element) => encodeElement(element, explicit, characterSet)));
  const deflated = transferSyntaxUid === transferSyntax.deflatedExplicitLittleEndian;
  return Buffer.concat([fileMeta(elements, transferSyntaxUid), deflated ? evenLength(deflateRawSync(body), 0) : body]);
}

function fileMeta(elements: Element[], transferSyntaxUid: string): Buffer {
  const text = (tag: number) => String(elements.find(([t]) => t === tag)?.[2] ?? '');
  const meta: Element[] = [
    [0x00020001, 'OB', Uint8Array.of(0, 1)],
    [0x00020002, 'UI', text(0x00080016)],
    [0x00020003, 'UI', text(0x00080018)],
    [0x00020010, 'UI', transferSyntaxUid],
    [0x00020012, 'UI', '2.25.302846161830526263812936180112463157417'],
    [0x00020013, 'SH', 'RIFH-PHANTOM'],
  ];
  const body = Buffer.concat(meta.map((element) => encodeElement(element, true, 'ISO_IR 100')));
  const length = encodeElement([0x00020000, 'UL', body.length], true, 'ISO_IR 100');
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), length, body]);
}

function encodeElement(element: Element, explicit: boolean, characterSet: CharacterSet): Buffer {
  const [tag, vr, value] = element;
  if (typeof value === 'object' && 'fragments' in value) return encodeFragments(tag, value.fragments);
  if (typeof value === 'object' && 'items' in value) {
    const items = Buffer.concat(value.items.map((item) => encodeItem(item, explicit, characterSet)));
    return Buffer.concat([elementHeader(tag, vr, items.length, explicit), items]);
  }
  const bytes = encodeValue(vr, value, characterSet);
  return Buffer.concat([elementHeader(tag, vr, bytes.length, explicit), bytes]);
}

/** An item of a sequence, of defined length (PS3.5 7.5.1). */
function encodeItem(elements: Element[], explicit: boolean, characterSet: CharacterSet): Buffer {
  const ordered = [...elements].sort(([a], [b]) => a - b);
  const body = Buffer.concat(ordered.map((element) => encodeElement(element, explicit, characterSet)));
  return Buffer.concat([delimiter(0xfffee000, body.length), body]);
}

function encodeValue(vr: string, value: string | number | Uint8Array, characterSet: CharacterSet): Buffer {
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(vr === 'US' ? 2 : 4);
    bytes.writeUIntLE(value, 0, bytes.length);
    return bytes;
  }
  if (typeof value !== 'string') return evenLength(value, 0);
  const bytes = extendedText.has(vr) ? encodeText(value, characterSet) : Buffer.from(value, 'latin1');
  return evenLength(bytes, vr === 'UI' ? 0 : 0x20);
}

function elementHeader(tag: number, vr: string, length: number, explicit: boolean): Buffer {
  const header = Buffer.alloc(explicit && longHeader.has(vr) ? 12 : 8);
  header.writeUInt16LE(tag >>> 16, 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  if (explicit) header.write(vr, 4, 'latin1');
  if (explicit && !longHeader.has(vr)) header.writeUInt16LE(length, 6);
  else header.writeUInt32LE(length, header.length - 4);
  return header;
}

/** Encapsulated pixel data: an empty basic offset table, then one fragment a frame (PS3.5 Annex A.4). */
function encodeFragments(tag: number, fragments: Uint8Array[]): Buffer {
  const items = [new Uint8Array(), ...fragments].flatMap((fragment) => {
    const bytes = evenLength(fragment, 0);
    return [delimiter(0xfffee000, bytes.length), bytes];
  });
  return Buffer.concat([elementHeader(tag, 'OB', 0xffffffff, true), ...items, delimiter(0xfffee0dd, 0)]);
}

function delimiter(tag: number, length: number): Buffer {
  return elementHeader(tag, '', length, false);
}

function evenLength(bytes: Uint8Array, padding: number): Buffer {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.length % 2 === 0 ? view : Buffer.concat([view, Uint8Array.of(padding)]);
}
