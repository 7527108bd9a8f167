import type { ScoreRecord } from '../score-record.js';
import { asModelSaid } from '../verdict/standing.js';
import type { Verdict } from '../verdict/verdict.js';
import { dateAndTime, type DicomDocument, dicomDocument, equipment, references } from './dicom-document.js';
import { type Field, type Writer, writerFor } from './elements.js';
import { measurementReport, textsOf } from './measurement-report.js';
import { asPersonName, deviceUid, MANUFACTURER } from './observer.js';
import { headerFor, patientAndStudy } from './patient-and-study.js';
import { stableUid } from './stable-uid.js';

/** Comprehensive 3D SR Storage (PS3.4 table B.5-1), which IHE AIR has results in. */
const COMPREHENSIVE_3D_SR = '1.2.840.10008.5.1.4.1.1.88.34';

/**
 * A score as a DICOM structured report (PS3.3 A.35.13, PS3.16 TID 1500), for IHE AIR: preliminary and not verified, or, after a physician has accepted or
 * corrected it, final and verified by him, with the report before it as its predecessor. The same record makes the same bytes; other bytes have another SOP
 * Instance UID. Undefined for a score that is of no study.
 * @param named whether the patient, the accession number and the referring physician stand in it, as in the images; otherwise it says that they were left out.
 */
export function structuredReport(record: ScoreRecord, named: boolean, verdict?: Verdict): DicomDocument | undefined {
  const { scored } = record;
  const { studyInstanceUid } = scored;
  if (!record.header || !studyInstanceUid) return undefined;
  const standing = verdict?.standing ?? asModelSaid(scored);
  const header = verdict ? headerFor(record.header, textsOf(standing, verdict)) : record.header;
  const writer = writerFor(header.characterSet);
  const images = { ...record.images, ...verdict?.images };
  const evidence = Object.entries(images).map(([sopInstanceUid, image]) => ({ sopInstanceUid, ...image }));
  const version = verdict ? [String(verdict.reportVersion)] : [];
  return dicomDocument(writer, {
    kind: 'structured report',
    sopClassUid: COMPREHENSIVE_3D_SR,
    seriesInstanceUid: stableUid('structured-report series', record.reportId, ...version),
    studyInstanceUid,
    content: measurementReport({ ...record, images }, standing, verdict),
    fields: [
      ...patientAndStudy(writer, header, named),
      ...documentSeries(writer, record, verdict),
      ...equipment(writer, record),
      ...document(writer, record, verdict),
      ...(verdict ? verification(writer, verdict) : []),
      ...references(writer, '0040A360', studyInstanceUid, verdict?.before[named ? 'named' : 'unnamed'] ?? []),
      ...references(writer, '0040A375', studyInstanceUid, evidence),
    ],
  });
}

/** Numbers of the series that the hub makes: 9901 what the model said, then a series for each version of the report. */
export const seriesNumber = (verdict: Verdict | undefined): string => String(9900 + Math.min(verdict?.reportVersion ?? 1, 99));

/** SR Document Series (PS3.3 C.17.1). */
const documentSeries = (writer: Writer, { manifest }: ScoreRecord, verdict: Verdict | undefined): Field[] => [
  writer.text('00080060', 'CS', 'SR'),
  writer.text('00200011', 'IS', seriesNumber(verdict)),
  writer.text('0008103E', 'LO', `${manifest.name} ${manifest.version}, ${verdict ? 'verified' : 'not verified'}`),
  writer.sequence('00081111', []),
];

/** SR Document General (PS3.3 C.17.2). The model is the author, beside it the physician whose findings it holds. */
function document(writer: Writer, { publishedAt, scored: { model } }: ScoreRecord, verdict: Verdict | undefined): Field[] {
  const at = verdict?.at ?? publishedAt;
  const institution = [writer.text('00080080', 'LO', ''), writer.sequence('00080082', [])];
  const device = [
    writer.text('0040A084', 'CS', 'DEV'),
    ...institution,
    writer.text('00081010', 'SH', ''),
    writer.text('00181002', 'UI', deviceUid(model)),
    writer.text('00080070', 'LO', MANUFACTURER),
    writer.text('00081090', 'LO', model.name),
  ];
  const person = (name: string) => [
    writer.text('0040A084', 'CS', 'PSN'),
    ...institution,
    writer.text('0040A123', 'PN', asPersonName(name)),
    writer.sequence('00401101', []),
  ];
  return [
    ...dateAndTime(writer, at, '00080012', '00080013'),
    ...dateAndTime(writer, at, '00080023', '00080033'),
    writer.text('00200013', 'IS', '1'),
    writer.text('0040A491', 'CS', 'COMPLETE'),
    writer.text('0040A493', 'CS', verdict ? 'VERIFIED' : 'UNVERIFIED'),
    writer.text('0040A496', 'CS', verdict ? 'FINAL' : 'PRELIMINARY'),
    writer.sequence('0040A078', [device, ...authorsOf(verdict).map(person)]),
    writer.sequence('0040A372', []),
  ];
}

/** Physicians who say something of their own in it. */
const authorsOf = (verdict: Verdict | undefined): string[] => {
  const { findings = [], physician } = verdict?.standing ?? {};
  return [...new Set([physician, ...findings.map((finding) => finding.physician)])].filter((name) => name !== undefined);
};

/** Verifying Observer Sequence (0040,A073): who answers for the content, in which organization, and when. */
const verification = (writer: Writer, { physician, organization, at }: Verdict): Field[] => [
  writer.sequence('0040A073', [
    [
      writer.text('0040A027', 'LO', organization.replace(/[\\\p{Cc}]/gu, ' ')),
      writer.text(
        '0040A030',
        'DT',
        at.replace(/[-:T]/g, (c, i) => (c === '-' && i > 10 ? c : '')),
      ),
      writer.text('0040A075', 'PN', asPersonName(physician)),
      writer.sequence('0040A088', []),
    ],
  ]),
];
