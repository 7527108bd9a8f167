import type { Change, IndexView, StudyDescription, UnreadableItem } from '../connector.js';
import { SourceError } from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { readStudy } from '../dicom/read-study.js';
import { mapConcurrently } from '../map-concurrently.js';
import { type FolderCursor, parseCursor } from './cursor.js';
import type { KnownFiles } from './known-files.js';
import { isThere, locatorOf, maxLocator, openLocator } from './locate.js';
import { type Found, walk } from './walk.js';

export interface Folder {
  /** Absolute path without symbolic links. */
  root: string;
  defaultUtcOffset?: string;
  /** The file server's clock may differ from this computer's by so much. */
  clockSkewMs: number;
}

/** Files that are read before their studies are handed on together. */
const batchSize = 200;
const readsAtOnce = 4;
/** Files get their times from a clock that may be a tick behind. */
const clockTickMs = 20;

/**
 * What is new in the folder since `cursor`: batches of at most 200 files, one study each and one item for every file that can't
 * be read. The last of a batch has the cursor; the end of a scan is a checkpoint.
 */
export async function* folderChanges(
  folder: Folder,
  known: KnownFiles,
  cursor: string | undefined,
  signal: AbortSignal,
  index?: IndexView,
): AsyncGenerator<Change> {
  const { since, started = Math.max(0, Date.now() - folder.clockSkewMs - clockTickMs), after } = parseCursor(cursor);
  const scan = known.beginScan();
  let batch: Found[] = [];
  for await (const found of walk(folder.root, { since, after, signal, onFile: scan.saw })) {
    if (found.error) scan.failed();
    batch.push(found);
    if (batch.length === batchSize) {
      yield* readBatch(folder, batch, { since, started, after: found.steps }, signal);
      batch = [];
    }
  }
  yield* readBatch(folder, batch, { since: started }, signal);
  if (index && after === undefined) yield* scan.gone(index);
  yield { kind: 'checkpoint', cursor: JSON.stringify({ since: started } satisfies FolderCursor) };
}

/** Whether a scan would find a file, or miss one: they are looked for and not opened. */
export async function hasNewFiles(folder: Folder, known: KnownFiles, cursor: string, signal: AbortSignal): Promise<boolean> {
  const { since, started, after } = parseCursor(cursor);
  if (started !== undefined) return true;
  const scan = known.beginScan();
  for await (const _ of walk(folder.root, { since, after, signal, onFile: scan.saw })) return true;
  return scan.misses();
}

async function* readBatch(folder: Folder, batch: Found[], next: FolderCursor, signal: AbortSignal): AsyncGenerator<Change> {
  const found = await mapConcurrently(batch, readsAtOnce, async ({ steps, error }) => {
    signal.throwIfAborted();
    if (error) return unlisted(locatorOf(steps), error);
    const file = await readFile(folder, locatorOf(steps));
    // What disappears between listing and reading is no error: the next scan misses it.
    return file.kind === 'unreadable' && !(await isThere(folder.root, locatorOf(steps))) ? undefined : file;
  });
  const read = found.filter((one) => one !== undefined);
  const studies = mergeStudies(read.flatMap((one) => (one.kind === 'study' ? [one.study] : [])));
  const changes: Change[] = [
    ...studies.map((study) => ({ kind: 'study' as const, study })),
    ...read.filter((one) => one.kind === 'unreadable'),
  ];
  const last = changes.pop();
  yield* changes;
  if (last) yield { ...last, cursor: JSON.stringify(next) };
}

function unlisted(locator: string, error: unknown): ReadFile {
  return {
    kind: 'unreadable',
    item: {
      locator: locator || '.',
      reason: 'source-error',
      detail: `The directory cannot be listed, or the name is not UTF-8 (${codeOf(error)}).`,
    },
  };
}

type ReadFile = { kind: 'study'; study: StudyDescription } | { kind: 'unreadable'; item: UnreadableItem };

/** One file as a change. Whatever is wrong with it stays with it. */
export async function readFile(folder: Folder, locator: string): Promise<ReadFile> {
  const unreadable = (item: Omit<UnreadableItem, 'locator'>) => ({
    kind: 'unreadable' as const,
    item: { locator: locator.slice(0, maxLocator), ...item },
  });
  if (locator.length > maxLocator)
    return unreadable({ reason: 'too-large', detail: `The path is longer than ${maxLocator} characters.` });
  try {
    const source = await openLocator(folder.root, locator);
    try {
      const read = await readStudy(source, { locator, defaultUtcOffset: folder.defaultUtcOffset });
      if (read.ok) return { kind: 'study', study: read.study };
      const { ok: _, ...item } = read;
      return unreadable(item);
    } finally {
      await source.close();
    }
  } catch (error) {
    return unreadable({ reason: 'source-error', detail: `The file cannot be read (${codeOf(error)}).` });
  }
}

const codeOf = (error: unknown) =>
  error instanceof SourceError ? error.code : ((error as NodeJS.ErrnoException).code ?? 'I/O error');
