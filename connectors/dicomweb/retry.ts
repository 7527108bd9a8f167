import { type Change, SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import type { DicomJson } from '../dicom/values.js';
import { retryOrthancInstance } from './orthanc-changes.js';
import { isOrthancId } from './orthanc-client.js';
import { readInstance, readStudyOf, readWholeSeries } from './read-studies.js';
import { parseLocator, type Resource } from './resource.js';
import { dicomArray, type DicomwebSource } from './source.js';

/**
 * Reads a quarantined study, series or instance again. A study or series is one change, and stays unreadable while anything of
 * it is.
 * @throws SourceError when the source as a whole fails, `not-found` when the item is gone from it.
 */
export async function retryItem(source: DicomwebSource, locator: string, signal: AbortSignal): Promise<Change> {
  const [, id] = /^orthanc\/instances\/(.+)$/.exec(locator) ?? [];
  const changes = isOrthancId(id)
    ? [await retryOrthancInstance(source, id, signal)]
    : await readAgain(source, parseLocator(locator), signal);
  const known = changes.filter((change) => change !== undefined);
  const unreadable = known.find((change) => change.kind === 'unreadable');
  if (unreadable) return unreadable;
  const [study] = mergeStudies(known.flatMap((change) => (change.kind === 'study' ? [change.study] : [])));
  if (study === undefined) throw new SourceError('not-found', 'The source no longer has this item.');
  return { kind: 'study', study };
}

async function readAgain(source: DicomwebSource, resource: Resource | undefined, signal: AbortSignal): Promise<Change[]> {
  if (resource === undefined) throw new SourceError('not-found', 'The source has no such item.');
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid } = resource;
  if (seriesInstanceUid !== undefined && sopInstanceUid !== undefined) {
    return [await readInstance(source, { studyInstanceUid, seriesInstanceUid, sopInstanceUid }, signal)];
  }
  if (seriesInstanceUid !== undefined) return readWholeSeries(source, { studyInstanceUid, seriesInstanceUid }, signal);
  const changes: Change[] = [];
  for await (const change of readStudyOf(source, await studyEntry(source, studyInstanceUid, signal), signal))
    changes.push(change);
  return changes;
}

async function studyEntry(source: DicomwebSource, studyInstanceUid: string, signal: AbortSignal): Promise<DicomJson> {
  const query: [string, string][] = [
    ['StudyInstanceUID', studyInstanceUid],
    ['includefield', '00201208'],
  ];
  const [entry] = await dicomArray(source, 'studies', signal, query);
  if (entry === undefined) throw new SourceError('not-found', 'The source no longer has this study.');
  return entry;
}
