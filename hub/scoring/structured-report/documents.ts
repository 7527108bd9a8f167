import type { ScoreRecord } from '../score-record.js';
import type { DocumentReference, Verdict } from '../verdict/verdict.js';
import type { DicomDocument } from './dicom-document.js';
import { rejectionNote } from './rejection-note.js';
import { structuredReport } from './structured-report.js';

/**
 * The DICOM document that stands for a score: the structured report of what the model said, of what a physician has left of it, or the note that he rejected it.
 * Each is an object of its own; the ones before stay what they are. @param verdict the word that made it; absent: what the model said
 */
export const documentOf = (record: ScoreRecord, verdict: Verdict | undefined, named: boolean): DicomDocument | undefined =>
  verdict?.decision === 'reject' ? rejectionNote(record, named, verdict) : structuredReport(record, named, verdict);

/**
 * The documents that a further word on a score refers to: an acceptance or correction the one whose content it takes up (Predecessor Documents), a rejection all
 * that stand. @param verdicts the words before, the first one first. @param filed SOP Instance UIDs under which the archive has documents, by version of the report
 */
export function documentsBefore(
  record: ScoreRecord,
  verdicts: readonly Verdict[],
  isRejection: boolean,
  named: boolean,
  filed: ReadonlyMap<number, string>,
): DocumentReference[] {
  const rejections = verdicts.filter(({ decision }) => decision === 'reject');
  const last = rejections.at(-1);
  const since = [...(last ? [] : [undefined]), ...verdicts.slice(last ? verdicts.indexOf(last) + 1 : 0)];
  const standing = since.flatMap((verdict) => {
    const document = documentOf(record, verdict, named);
    if (!document) return [];
    const { sopClassUid, seriesInstanceUid } = document;
    const uid = named ? filed.get(verdict?.reportVersion ?? 1) : undefined;
    return [{ sopClassUid, seriesInstanceUid, sopInstanceUid: uid ?? document.sopInstanceUid }];
  });
  if (isRejection) return standing;
  const taken = standing.at(-1) ?? last?.before[named ? 'named' : 'unnamed'].at(-1);
  return taken ? [taken] : [];
}
