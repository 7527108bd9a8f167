import { part10Header } from '../../../connectors/dicom/part10-header.js';
import { transferSyntaxes } from '../../../connectors/dicom/part10.js';
import type { ScoreRecord } from '../score-record.js';
import { HEADER_ELEMENTS, type StudyHeader } from '../study-header.js';
import { codingSchemes } from './coded-concept.js';
import { systemsIn, written } from './content-items.js';
import { dataSet, type Field, type Writer, writerFor } from './elements.js';
import { deviceUid, MANUFACTURER, measurementReport } from './measurement-report.js';
import { stableUid } from './stable-uid.js';

/** Comprehensive 3D SR Storage (PS3.4 table B.5-1), which IHE AIR has results in. */
const COMPREHENSIVE_3D_SR = '1.2.840.10008.5.1.4.1.1.88.34';
const transferSyntaxUid = transferSyntaxes.explicitLittleEndian;

export interface StructuredReport {
  sopClassUid: string;
  sopInstanceUid: string;
  seriesInstanceUid: string;
  studyInstanceUid: string;
  transferSyntaxUid: string;
  /** A PS3.10 file. */
  bytes: Buffer;
}

/**
 * A score as a DICOM structured report (PS3.3 A.35.13, PS3.16 TID 1500), for IHE AIR: preliminary, complete, not verified. The same record makes the same
 * bytes; other bytes have another SOP Instance UID. Undefined for a score that is of no study.
 * @param named whether the patient, the accession number and the referring physician stand in it, as in the images; otherwise it says that they were left out.
 */
export function structuredReport(record: ScoreRecord, named: boolean): StructuredReport | undefined {
  const { header, scored } = record;
  const { studyInstanceUid } = scored;
  if (!header || !studyInstanceUid) return undefined;
  const writer = writerFor(header.characterSet);
  const content = measurementReport(record);
  const seriesInstanceUid = stableUid('structured-report series', record.reportId);
  const fields = [
    ...(named ? identity(writer, header) : withoutIdentity(writer, header)),
    ...documentSeries(writer, record, seriesInstanceUid),
    ...equipment(writer, record),
    ...document(writer, record),
    ...evidence(writer, record, studyInstanceUid),
    ...codingSchemes(writer, systemsIn(content)),
    ...written(writer, content),
    writer.text('00080016', 'UI', COMPREHENSIVE_3D_SR),
  ];
  const sopInstanceUid = stableUid('structured report', dataSet(fields));
  const body = dataSet([...fields, writer.text('00080018', 'UI', sopInstanceUid)]);
  const sopClassUid = COMPREHENSIVE_3D_SR;
  return {
    sopClassUid,
    sopInstanceUid,
    seriesInstanceUid,
    studyInstanceUid,
    transferSyntaxUid,
    bytes: Buffer.concat([part10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid }), body]),
  };
}

/** Type 2 elements: present, even if empty. */
const REQUIRED = ['00080020', '00080030', '00080050', '00080090', '00100010', '00100020', '00100030', '00100040', '00200010'];

/** Patient and General Study as the images have them, in their character set. */
function identity(writer: Writer, { characterSet, values }: StudyHeader): Field[] {
  const tags = new Set([...REQUIRED, ...Object.keys(values)]);
  return [
    ...[...tags].map((tag) => writer.raw(tag, HEADER_ELEMENTS[tag]!, Buffer.from(values[tag] ?? '', 'base64'))),
    ...charset(writer, characterSet),
  ];
}

/** When the examination was stands in the report too. */
const KEPT = ['00080020', '00080030', '00080201', '0020000D'];

function withoutIdentity(writer: Writer, { characterSet, values }: StudyHeader): Field[] {
  const kept = Object.fromEntries(KEPT.flatMap((tag) => (values[tag] === undefined ? [] : [[tag, values[tag]]])));
  return [
    ...identity(writer, { characterSet, values: kept }),
    writer.text('00120062', 'CS', 'YES'),
    writer.text('00120063', 'LO', 'Made without patient, accession number, physician'),
  ];
}

const charset = (writer: Writer, terms: readonly string[]): Field[] =>
  terms.length === 0 ? [] : [writer.raw('00080005', 'CS', Buffer.from(terms.join('\\'), 'latin1'))];

/** SR Document Series (PS3.3 C.17.1). */
const documentSeries = (writer: Writer, { manifest }: ScoreRecord, seriesInstanceUid: string): Field[] => [
  writer.text('00080060', 'CS', 'SR'),
  writer.text('0020000E', 'UI', seriesInstanceUid),
  writer.text('00200011', 'IS', '9901'),
  writer.text('0008103E', 'LO', `${manifest.name} ${manifest.version}, not verified`),
  writer.sequence('00081111', []),
];

/** General and Enhanced General Equipment (PS3.3 C.7.5.1, C.7.5.2). */
const equipment = (writer: Writer, { scored: { model } }: ScoreRecord): Field[] => [
  writer.text('00080070', 'LO', MANUFACTURER),
  writer.text('00081090', 'LO', model.name),
  writer.text('00181000', 'LO', model.sha256),
  writer.text('00181020', 'LO', model.version),
];

/** SR Document General (PS3.3 C.17.2). */
function document(writer: Writer, { publishedAt, scored: { model } }: ScoreRecord): Field[] {
  const [date = '', time = ''] = publishedAt.slice(0, 19).replace(/[-:]/g, '').split('T');
  const author = [
    writer.text('0040A084', 'CS', 'DEV'),
    writer.text('00080080', 'LO', ''),
    writer.sequence('00080082', []),
    writer.text('00181002', 'UI', deviceUid(model)),
    writer.text('00080070', 'LO', MANUFACTURER),
    writer.text('00081090', 'LO', model.name),
  ];
  return [
    writer.text('00080012', 'DA', date),
    writer.text('00080013', 'TM', time),
    writer.text('00080023', 'DA', date),
    writer.text('00080033', 'TM', time),
    writer.text('00200013', 'IS', '1'),
    writer.text('0040A491', 'CS', 'COMPLETE'),
    writer.text('0040A493', 'CS', 'UNVERIFIED'),
    writer.text('0040A496', 'CS', 'PRELIMINARY'),
    writer.sequence('0040A078', [author]),
    writer.sequence('0040A372', []),
  ];
}

/** Current Requested Procedure Evidence Sequence (0040,A375): every image that went in. */
function evidence(writer: Writer, { images }: ScoreRecord, studyInstanceUid: string): Field[] {
  const bySeries = new Map<string, Field[][]>();
  for (const [uid, { sopClassUid, seriesInstanceUid }] of Object.entries(images)) {
    const item = [writer.text('00081150', 'UI', sopClassUid), writer.text('00081155', 'UI', uid)];
    bySeries.set(seriesInstanceUid, [...(bySeries.get(seriesInstanceUid) ?? []), item]);
  }
  if (bySeries.size === 0) return [];
  const series = [...bySeries].map(([uid, items]) => [writer.sequence('00081199', items), writer.text('0020000E', 'UI', uid)]);
  return [writer.sequence('0040A375', [[writer.sequence('00081115', series), writer.text('0020000D', 'UI', studyInstanceUid)]])];
}
