import { decoderFor } from '../../../connectors/dicom/charset.js';
import { encoderFor, utf8 } from '../../../connectors/dicom/write/encode-text.js';
import { HEADER_ELEMENTS, type StudyHeader } from '../study-header.js';
import type { Field, Writer } from './elements.js';

/** Type 2 elements: present, even if empty. */
const REQUIRED = ['00080020', '00080030', '00080050', '00080090', '00100010', '00100020', '00100030', '00100040', '00200010'];

/** When the examination was stands in the document too. */
const KEPT = ['00080020', '00080030', '00080201', '0020000D'];

/**
 * The Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1) as the images have them, in their character set.
 * @param named whether the patient, the accession number and the referring physician stand in it; otherwise it says that they were left out.
 */
export function patientAndStudy(writer: Writer, { characterSet, values }: StudyHeader, named: boolean): Field[] {
  if (named) return [...elements(writer, values), ...charset(writer, characterSet)];
  const kept = Object.fromEntries(KEPT.flatMap((tag) => (values[tag] === undefined ? [] : [[tag, values[tag]]])));
  return [
    ...elements(writer, kept),
    ...charset(writer, characterSet),
    writer.text('00120062', 'CS', 'YES'),
    writer.text('00120063', 'LO', 'Made without patient, accession number, physician'),
  ];
}

function elements(writer: Writer, values: StudyHeader['values']): Field[] {
  const tags = new Set([...REQUIRED, ...Object.keys(values)]);
  return [...tags].map((tag) => writer.raw(tag, HEADER_ELEMENTS[tag]!, Buffer.from(values[tag] ?? '', 'base64')));
}

const charset = (writer: Writer, terms: readonly string[]): Field[] =>
  terms.length === 0 ? [] : [writer.raw('00080005', 'CS', Buffer.from(terms.join('\\'), 'latin1'))];

/** The header as it is where its character set holds these texts too, else in UTF-8 (ISO_IR 192). What can't be read of it is not written otherwise. */
export function headerFor(header: StudyHeader, texts: readonly string[]): StudyHeader {
  const encode = encoderFor(header.characterSet);
  if (texts.every((text) => encode(text) !== undefined)) return header;
  const decode = decoderFor(header.characterSet);
  const decoded = Object.entries(header.values).map(([tag, value]) => [tag, decode(Buffer.from(value, 'base64'))] as const);
  if (decoded.some(([, value]) => value.includes('\ufffd'))) return header;
  const values = decoded.map(([tag, value]) => [tag, utf8(value)!.toString('base64')]);
  return { characterSet: ['ISO_IR 192'], values: Object.fromEntries(values) };
}
