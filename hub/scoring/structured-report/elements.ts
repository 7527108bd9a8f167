import { type Encode, encoderFor } from '../../../connectors/dicom/write/encode-text.js';
import { elementBytes, sequenceBytes } from '../../../connectors/dicom/write/encode.js';
import { explicitLittleEndian } from '../../../connectors/dicom/write/data-set.js';

/** One Data Element, encoded in Explicit VR Little Endian. */
export interface Field {
  tag: string;
  bytes: Buffer;
}

/** Writes the elements of a data set whose text is in one Specific Character Set. */
export interface Writer {
  text(tag: string, vr: string, value: string): Field;
  /** A value that is encoded already. */
  raw(tag: string, vr: string, value: Buffer): Field;
  sequence(tag: string, items: readonly (readonly Field[])[]): Field;
}

/** Longest values, characters (PS3.5 table 6.2-1). */
const LONGEST: Readonly<Record<string, number>> = { LO: 64, SH: 16, CS: 16, PN: 64 };

/** @param terms values of Specific Character Set (0008,0005); what can't be written in it is written as a question mark. */
export function writerFor(terms: readonly string[]): Writer {
  const encode = encoderFor(terms);
  return {
    text: (tag, vr, value) => field(tag, vr, textIn(encode, [...value].slice(0, LONGEST[vr] ?? value.length).join(''))),
    raw: field,
    sequence: (tag, items) => ({ tag, bytes: sequenceBytes(tag, items.map(dataSet), explicitLittleEndian) }),
  };
}

/** The elements in the order of their tags (PS3.5 section 7.1). */
export const dataSet = (fields: readonly Field[]): Buffer =>
  Buffer.concat([...fields].sort((a, b) => (a.tag < b.tag ? -1 : 1)).map(({ bytes }) => bytes));

const field = (tag: string, vr: string, value: Buffer): Field => ({
  tag,
  bytes: elementBytes(tag, vr, value, explicitLittleEndian),
});

const textIn = (encode: Encode, text: string): Buffer =>
  encode(text) ?? Buffer.from(text.replace(/[^\x20-\x7e]/g, '?'), 'latin1');
