import { systems } from '../../../fhir-profiles/codes.js';
import type { ScoreRecord } from '../score-record.js';
import type { Verdict } from '../verdict/verdict.js';
import { type Concept, dcm } from './coded-concept.js';
import { codeValue, composite, container, contains, type ContentItem, modifiedBy, textValue } from './content-items.js';
import { dateAndTime, type DicomDocument, dicomDocument, equipment, references } from './dicom-document.js';
import { writerFor } from './elements.js';
import { ENGLISH } from './measurement-report.js';
import { personObserver } from './observer.js';
import { headerFor, patientAndStudy } from './patient-and-study.js';
import { stableUid } from './stable-uid.js';
import { seriesNumber } from './structured-report.js';

/** Key Object Selection Document Storage (PS3.4 table B.5-1). */
export const KEY_OBJECT_SELECTION = '1.2.840.10008.5.1.4.1.1.88.59';

/**
 * That a physician rejected what a model found, for the archive that holds it: a Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010) with the title Rejected for
 * Quality Reasons, by which IHE IOCM withdraws objects without deleting them. It names each structured report that no longer stands. Undefined for a score that is
 * of no study.
 */
export function rejectionNote(record: ScoreRecord, named: boolean, verdict: Verdict): DicomDocument | undefined {
  const { studyInstanceUid } = record.scored;
  if (!record.header || !studyInstanceUid) return undefined;
  const { physician, organization, text = '', at } = verdict;
  const rejected = verdict.before[named ? 'named' : 'unnamed'];
  const header = headerFor(record.header, [physician, organization, text]);
  const writer = writerFor(header.characterSet);
  return dicomDocument(writer, {
    kind: 'rejection note',
    sopClassUid: KEY_OBJECT_SELECTION,
    seriesInstanceUid: stableUid('rejection-note series', record.reportId, String(verdict.reportVersion)),
    studyInstanceUid,
    content: contentOf(verdict, rejected),
    fields: [
      ...patientAndStudy(writer, header, named),
      writer.text('00080060', 'CS', 'KO'),
      writer.text('00200011', 'IS', seriesNumber(verdict)),
      writer.text('0008103E', 'LO', `${record.manifest.name} ${record.manifest.version}, rejected`),
      writer.sequence('00081111', []),
      ...equipment(writer, record),
      ...dateAndTime(writer, at, '00080012', '00080013'),
      ...dateAndTime(writer, at, '00080023', '00080033'),
      writer.text('00200013', 'IS', '1'),
      ...references(writer, '0040A375', studyInstanceUid, rejected),
    ],
  });
}

/** TID 2010. The modifier says why (CID 7011, extended by the reasons of a review). */
const contentOf = ({ physician, organization, at, reason, text }: Verdict, rejected: Verdict['before']['named']): ContentItem =>
  container(
    dcm('113001', 'Rejected for Quality Reasons'),
    [
      modifiedBy(codeValue(dcm('121049', 'Language of Content Item and Descendants'), ENGLISH)),
      modifiedBy(codeValue(dcm('113011', 'Document Title Modifier'), reasonOf(reason))),
      ...personObserver(physician),
      contains(
        textValue(
          dcm('113012', 'Key Object Description'),
          [
            `What a model found, rejected by ${physician} (${organization}), ${at}: not to be used.`,
            ...(text ? [text] : []),
          ].join(' '),
        ),
      ),
      ...rejected.map(({ sopClassUid, sopInstanceUid }) => contains(composite(sopClassUid, sopInstanceUid))),
    ],
    '2010',
  );

const reasonOf = (reason: Verdict['reason']): Concept => ({
  system: systems.reviewReason,
  code: reason,
  display: `${reason.charAt(0).toUpperCase()}${reason.slice(1).replace('-', ' ')}`,
});
