import {
  type IndexedInstance,
  type LookRequest,
  SourceError,
  type StudyDescription,
  type StudyNow,
  type UnreadableItem,
} from '../../connector.js';
import { text } from '../../dicom/describe.js';
import { mergeStudies } from '../../dicom/merge-studies.js';
import { missingOf, type Witness, witnesses } from '../../missing-instances.js';
import { locatorOf } from '../services/received-object.js';
import type { Finder } from './finder.js';
import { findStudies } from './list-studies.js';
import { createMemory } from './memory.js';
import { type Reading, readStudy } from './read-study.js';

/**
 * Everything that a PACS lists of a study. What the index holds and the listing leaves out is asked for by itself and must be denied, for listings are cut, and
 * counts are wrong.
 * @throws SourceError; `bad-response` when the PACS contradicts itself.
 */
export async function lookAtStudy(reading: Reading, { studyInstanceUid, instances, others }: LookRequest): Promise<StudyNow> {
  const rows = await findStudies(reading.finder, studyInstanceUid);
  const patients = new Set(rows.map((row) => text(row, '00100020') ?? ''));
  if (patients.size > 1) return { studies: [], unreadable: [heldTwice(studyInstanceUid)], isItself: true, statesOnce: true };
  const studies: StudyDescription[] = [];
  const unreadable: UnreadableItem[] = [];
  for (const row of rows.slice(0, 1))
    for (const change of (await readStudy({ ...reading, memory: createMemory(1) }, row)).changes) {
      if (change.kind === 'study') studies.push(change.study);
      else if (change.kind === 'unreadable') unreadable.push(change.item);
    }
  const missing = missingOf(instances, studies, unreadable);
  for (const witness of witnesses(missing, studies)) await assertDenied(reading.finder, witness);
  const isItself = missing.length === 0 || studies.length > 0 || (await isSource(reading.finder, others));
  return { studies: mergeStudies(studies), unreadable, isItself, statesOnce: true };
}

/** A PACS may hold a study under two patients while it files it under another one. */
const heldTwice = (studyInstanceUid: string): UnreadableItem => ({
  locator: locatorOf({ studyInstanceUid }),
  studyInstanceUid,
  reason: 'patient-conflict',
  detail: 'The PACS holds this study more than once.',
});

async function assertDenied(finder: Finder, { studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Witness): Promise<void> {
  const keys = { '0020000D': studyInstanceUid, '0020000E': seriesInstanceUid };
  const { entries } = await finder.find(
    sopInstanceUid === undefined
      ? { level: 'SERIES', keys, most: 10 }
      : { level: 'IMAGE', keys: { ...keys, '00080018': sopInstanceUid }, most: 10 },
  );
  if (entries.length > 0) throw new SourceError('bad-response', 'The PACS lists by itself what it leaves out of a study.');
}

/** Whether this is the archive that was indexed: it has another study of the index. */
async function isSource(finder: Finder, others: readonly IndexedInstance[]): Promise<boolean> {
  for (const { studyInstanceUid } of others) if ((await findStudies(finder, studyInstanceUid)).length > 0) return true;
  return false;
}
