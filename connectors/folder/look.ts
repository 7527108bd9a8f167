import type { IndexedInstance, LookRequest, StudyDescription, StudyNow, UnreadableItem } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { mapConcurrently } from '../map-concurrently.js';
import { type Folder, readFile } from './changes.js';
import { isThere, openLocator } from './locate.js';

const readsAtOnce = 4;

/**
 * What is left of a study in its files: those that the index knows are read again, and those of it in the quarantine. A file that holds another
 * object by now no longer holds that one.
 */
export async function lookAtFiles(folder: Folder, request: LookRequest, signal: AbortSignal): Promise<StudyNow> {
  const locators = [...new Set([...request.instances.map((one) => one.locator), ...request.held])];
  const studies: StudyDescription[] = [];
  const unreadable: UnreadableItem[] = [];
  await mapConcurrently(locators, readsAtOnce, async (locator) => {
    signal.throwIfAborted();
    if (!(await isThere(folder.root, locator))) return;
    const read = await readFile(folder, locator);
    if (read.kind === 'unreadable') unreadable.push(...itemsAt(locator, read.item, request.instances));
    else if (read.study.studyInstanceUid === request.studyInstanceUid) studies.push(read.study);
  });
  const isItself = studies.length > 0 || (await hasOne(folder, request.others));
  return { studies: mergeStudies(inOrder(studies, locators)), unreadable, isItself };
}

/** A file that is there and can't be read: its object is neither there nor gone. */
function itemsAt(locator: string, item: UnreadableItem, instances: readonly IndexedInstance[]): UnreadableItem[] {
  const indexed = instances.filter((one) => one.locator === locator);
  return indexed.length === 0 ? [item] : indexed.map(({ locator: _, ...uids }) => ({ ...item, ...uids }));
}

async function hasOne(folder: Folder, others: readonly IndexedInstance[]): Promise<boolean> {
  for (const { locator } of others) {
    const file = await openLocator(folder.root, locator).catch(() => undefined);
    await file?.close();
    if (file) return true;
  }
  return false;
}

/** The file that the index knows comes before a second one with the same object. */
function inOrder(studies: readonly StudyDescription[], locators: readonly string[]): StudyDescription[] {
  const place = new Map(locators.map((locator, i) => [locator, i]));
  const of = ({ series }: StudyDescription): number => place.get(series[0]?.instances[0]?.locator ?? '') ?? 0;
  return [...studies].sort((a, b) => of(a) - of(b));
}
