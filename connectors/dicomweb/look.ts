import {
  type IndexedInstance,
  type LookRequest,
  SourceError,
  type StudyDescription,
  type StudyNow,
  type UnreadableItem,
} from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { mapConcurrently } from '../map-concurrently.js';
import { missingOf, witnesses } from '../missing-instances.js';
import { isSameOrthanc } from './orthanc-changes.js';
import { readStudyOf } from './read-studies.js';
import { type Resource, resourcePath } from './resource.js';
import { dicomArray, type DicomwebSource, uidIn } from './source.js';

/**
 * Everything that a DICOMweb source has of a study. What the index holds and a listing leaves out is asked for by itself and must be denied, for
 * listings are cut, and counts are wrong.
 * @throws SourceError; `bad-response` when the source contradicts itself.
 */
export async function lookAtStudy(source: DicomwebSource, request: LookRequest, signal: AbortSignal): Promise<StudyNow> {
  const { studyInstanceUid } = request;
  const rows = await studyRows(source, studyInstanceUid, signal);
  if (rows.length > 1) return { studies: [], unreadable: [heldTwice(studyInstanceUid)], isItself: true };
  const studies: StudyDescription[] = [];
  const unreadable: UnreadableItem[] = [];
  for (const row of rows)
    for await (const change of readStudyOf(source, row, signal)) {
      if (change.kind === 'study') studies.push(change.study);
      else if (change.kind === 'unreadable') unreadable.push(change.item);
    }
  const missing = missingOf(request.instances, studies, unreadable);
  for (const resource of witnesses(missing, studies)) await assertDenied(source, resource, signal);
  const isItself = missing.length === 0 || studies.length > 0 || (await isSource(source, request.others, signal));
  return { studies: mergeStudies(studies), unreadable, isItself };
}

async function studyRows(source: DicomwebSource, uid: string, signal: AbortSignal) {
  const query: [string, string][] = [
    ['StudyInstanceUID', uid],
    ['includefield', '00201206'],
    ['includefield', '00201208'],
  ];
  const rows = await dicomArray(source, 'studies', signal, query);
  const asked = rows.filter((row) => uidIn(row, '0020000D') === uid);
  if (asked.length < rows.length)
    throw new SourceError('bad-response', 'The source answers with other studies than the one asked for.');
  return asked;
}

/** A server may hold a study under two patients while it files it under another one. */
const heldTwice = (studyInstanceUid: string): UnreadableItem => ({
  locator: resourcePath({ studyInstanceUid }),
  studyInstanceUid,
  reason: 'patient-conflict',
  detail: 'The source holds this study more than once.',
});

async function assertDenied(source: DicomwebSource, resource: Resource, signal: AbortSignal): Promise<void> {
  try {
    const metadata = await dicomArray(source, `${resourcePath(resource)}/metadata`, signal);
    if (metadata.length === 0) return;
  } catch (error) {
    if (error instanceof SourceError && error.code === 'not-found') return;
    throw error;
  }
  throw new SourceError('bad-response', 'The source delivers what it does not list.');
}

/** Whether this is the archive that was indexed: it has another study of the index, or it is an Orthanc whose change log goes on. */
async function isSource(source: DicomwebSource, others: readonly IndexedInstance[], signal: AbortSignal): Promise<boolean> {
  const asked = [...new Set([...(source.witnesses ?? []), ...others.map((one) => one.studyInstanceUid)])];
  const found = await mapConcurrently(asked, source.maxConcurrent, (uid) => studyRows(source, uid, signal));
  return found.some((rows) => rows.length > 0) || isSameOrthanc(source, signal);
}
