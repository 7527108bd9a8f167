import { part10Header } from '../../../connectors/dicom/part10-header.js';
import { transferSyntaxes } from '../../../connectors/dicom/part10.js';
import type { ScoreRecord } from '../score-record.js';
import type { DocumentReference } from '../verdict/verdict.js';
import { codeItem, codingSchemes, dcm } from './coded-concept.js';
import { type ContentItem, systemsIn, written } from './content-items.js';
import { dataSet, type Field, type Writer } from './elements.js';
import { deviceUid, MANUFACTURER } from './observer.js';
import { stableUid } from './stable-uid.js';

const transferSyntaxUid = transferSyntaxes.explicitLittleEndian;

export interface DicomDocument extends DocumentReference {
  studyInstanceUid: string;
  transferSyntaxUid: string;
  /** A PS3.10 file. */
  bytes: Buffer;
}

/** A document of these elements and this content. The same ones make the same bytes; other bytes have another SOP Instance UID. @param kind what the UID is derived for. */
export function dicomDocument(
  writer: Writer,
  {
    kind,
    content,
    fields,
    ...of
  }: Omit<DocumentReference, 'sopInstanceUid'> & {
    kind: string;
    studyInstanceUid: string;
    content: ContentItem;
    fields: readonly Field[];
  },
): DicomDocument {
  const all = [
    ...fields,
    ...codingSchemes(writer, systemsIn(content)),
    ...written(writer, content),
    writer.text('0020000E', 'UI', of.seriesInstanceUid),
    writer.text('00080016', 'UI', of.sopClassUid),
  ];
  const sopInstanceUid = stableUid(kind, dataSet(all));
  const body = dataSet([...all, writer.text('00080018', 'UI', sopInstanceUid)]);
  const header = part10Header({ sopClassUid: of.sopClassUid, sopInstanceUid, transferSyntaxUid });
  return { ...of, sopInstanceUid, transferSyntaxUid, bytes: Buffer.concat([header, body]) };
}

/** General and Enhanced General Equipment (PS3.3 C.7.5.1, C.7.5.2), and the model as Contributing Equipment (C.12.1), where IHE AIR looks for the algorithm. */
export const equipment = (writer: Writer, { scored: { model } }: ScoreRecord): Field[] => {
  const made = [
    writer.text('00080070', 'LO', MANUFACTURER),
    writer.text('00081090', 'LO', model.name),
    writer.text('00181000', 'LO', model.sha256),
    writer.text('00181020', 'LO', model.version),
  ];
  const purpose = writer.sequence('0040A170', [codeItem(writer, dcm('109102', 'Processing Equipment'))]);
  return [...made, writer.sequence('0018A001', [[purpose, ...made, writer.text('00181002', 'UI', deviceUid(model))]])];
};

/** Date and time of an instant as elements; `at` is a dateTime in the region's own time. */
export function dateAndTime(writer: Writer, at: string, dateTag: string, timeTag: string): Field[] {
  const [date = '', time = ''] = at.slice(0, 19).replace(/[-:]/g, '').split('T');
  return [writer.text(dateTag, 'DA', date), writer.text(timeTag, 'TM', time)];
}

/** Objects of one study by series (PS3.3 table C.17-3, Hierarchical SOP Instance Reference Macro). Absent where there is none. */
export function references(
  writer: Writer,
  tag: string,
  studyInstanceUid: string,
  objects: readonly DocumentReference[],
): Field[] {
  const bySeries = new Map<string, Field[][]>();
  for (const { sopClassUid, sopInstanceUid, seriesInstanceUid } of objects) {
    const item = [writer.text('00081150', 'UI', sopClassUid), writer.text('00081155', 'UI', sopInstanceUid)];
    bySeries.set(seriesInstanceUid, [...(bySeries.get(seriesInstanceUid) ?? []), item]);
  }
  if (bySeries.size === 0) return [];
  const series = [...bySeries].map(([uid, items]) => [writer.sequence('00081199', items), writer.text('0020000E', 'UI', uid)]);
  return [writer.sequence(tag, [[writer.sequence('00081115', series), writer.text('0020000D', 'UI', studyInstanceUid)]])];
}
