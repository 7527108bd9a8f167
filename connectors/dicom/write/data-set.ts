import { type ByteSource, chunks } from '../byte-source.js';
import type { DataSet, Element } from '../data-set.js';
import { inLittleEndian, wordSizeOf } from '../values.js';
import { hasLongForm } from '../vr.js';
import { elementHead, undefinedLength } from './encode.js';

/** Of what is written here. */
export const explicitLittleEndian = { explicit: true, littleEndian: true };
const item = Buffer.from('feff00e0ffffffff', 'hex');
const itemEnd = Buffer.from('feff0de000000000', 'hex');
const sequenceEnd = Buffer.from('feffdde000000000', 'hex');

/**
 * A data set in Explicit VR Little Endian (PS3.5 annex A.2), whatever it was read from, in order of its tags. Group lengths are left out, and so are
 * items whose pixel data is encapsulated (compressed icons), which this encoding can't hold.
 * @param body where values lie that were left there when the data set was read.
 */
export async function* writeDataSet(dataSet: DataSet, body: ByteSource): AsyncGenerator<Uint8Array> {
  const context = { littleEndian: dataSet.littleEndian, signed: isSigned(dataSet) };
  for (const element of inOrder(dataSet)) {
    if (element.value || element.items) yield* encoded(element, context);
    else if (element.length >= 0) yield* leftInBody(element, context, body);
  }
}

interface Context {
  littleEndian: boolean;
  /** Pixel Representation (0028,0103), which decides between US and SS in implicit VR. */
  signed: boolean;
}

const isSigned = (dataSet: DataSet): boolean => dataSet.elements.get('00280103')?.value?.includes(1) ?? false;

const inOrder = ({ elements }: DataSet): Element[] =>
  [...elements.values()].filter(({ tag }) => !tag.endsWith('0000')).sort((a, b) => (a.tag < b.tag ? -1 : 1));

/** Large values are copied, not held; their representations have words of at most 8 bytes, which no chunk cuts in two. */
async function* leftInBody(element: Element, context: Context, body: ByteSource): AsyncGenerator<Uint8Array> {
  const vr = vrOf(element, context);
  yield elementHead(element.tag, vr, element.length + (element.length % 2), explicitLittleEndian);
  const size = context.littleEndian ? 1 : wordSizeOf(vr);
  for await (const chunk of chunks(body, element.offset, element.offset + element.length))
    yield inLittleEndian(Buffer.from(chunk), size);
  if (element.length % 2) yield Buffer.alloc(1);
}

function* encoded(element: Element, context: Context): Generator<Uint8Array> {
  if (element.items) return yield* sequence(element, context);
  const vr = vrOf(element, context);
  const value = inLittleEndian(element.value!, context.littleEndian ? 1 : wordSizeOf(vr));
  const padding = value.length % 2 === 0 ? '' : isText.has(vr) ? ' ' : '\0';
  yield Buffer.concat([
    elementHead(element.tag, vr, value.length + padding.length, explicitLittleEndian),
    value,
    Buffer.from(padding, 'latin1'),
  ]);
}

function* sequence({ tag, items = [] }: Element, outer: Context): Generator<Uint8Array> {
  const kept = items.filter((dataSet) => ![...dataSet.elements.values()].some(isEncapsulated));
  if (kept.length === 0 && items.length > 0) return;
  yield elementHead(tag, 'SQ', undefinedLength, explicitLittleEndian);
  for (const dataSet of kept) {
    const context = {
      littleEndian: dataSet.littleEndian,
      signed: dataSet.elements.has('00280103') ? isSigned(dataSet) : outer.signed,
    };
    yield item;
    for (const element of inOrder(dataSet)) yield* encoded(element, context);
    yield itemEnd;
  }
  yield sequenceEnd;
}

const isEncapsulated = ({ value, items, length }: Element): boolean => value === undefined && items === undefined && length < 0;

const isText = new Set(['AE', 'AS', 'CS', 'DA', 'DS', 'DT', 'IS', 'LO', 'LT', 'PN', 'SH', 'ST', 'TM', 'UC', 'UR', 'UT']);

/** A value that is too long for the short form of its representation is sent as UN (PS3.5 6.2.2 note 2). */
function vrOf({ vr, length }: Element, { signed }: Context): string {
  const known = vr === 'xs' ? (signed ? 'SS' : 'US') : vr;
  return !hasLongForm(known) && length > 0xfffe ? 'UN' : known;
}
