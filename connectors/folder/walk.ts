import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A path below the root, by its names. */
export type Steps = readonly string[];

export interface Found {
  steps: Steps;
  /** Why this entry could not be looked at. */
  error?: NodeJS.ErrnoException;
}

export interface WalkOptions {
  /** Files whose status changed before this time (ms since 1970, by the file system's clock) are known and left out; 0: none is. */
  since: number;
  /** Resume after this file. */
  after?: Steps;
  /** Told of every file, known ones too. */
  onFile?: (steps: Steps) => void;
  signal: AbortSignal;
}

/**
 * Yields the ordinary files below `root` in a stable order: names of a directory by code unit, depth first. Hidden entries and
 * DICOMDIR are left out. Symbolic links are never followed: what they point to inside the root is found in its own place.
 *
 * A file is new when its status change time is; that covers writing, renaming and linking it. A directory that was moved here
 * brings old files, so everything below it is new when its own status changed while its entries didn't, or while its parent's did.
 */
export async function* walk(root: string, options: WalkOptions): AsyncGenerator<Found> {
  yield* walkDirectory(root, [], await lstat(root), options.since === 0, options);
}

async function* walkDirectory(
  root: string,
  steps: Steps,
  stats: Stats,
  isNew: boolean,
  options: WalkOptions,
): AsyncGenerator<Found> {
  const { names, error } = await list(join(root, ...steps));
  if (error) yield { steps, error };
  for (const name of names) {
    options.signal.throwIfAborted();
    const path = [...steps, name];
    if (options.after && compare(path, options.after.slice(0, path.length)) < 0) continue;
    const entry = await lstat(join(root, ...path)).catch(goneAsUndefined);
    if (entry === undefined && name.includes('\ufffd')) yield { steps: path, error: notUtf8 };
    if (entry?.isFile() && name !== 'DICOMDIR') {
      options.onFile?.(path);
      const isDone = options.after !== undefined && compare(path, options.after) <= 0;
      if (!isDone && (isNew || entry.ctimeMs >= options.since)) yield { steps: path };
    } else if (entry?.isDirectory()) {
      yield* walkDirectory(root, path, entry, isNew || hasArrived(entry, stats, options.since), options);
    }
  }
}

function hasArrived(directory: Stats, parent: Stats, since: number): boolean {
  return directory.ctimeMs >= since && (directory.mtimeMs < since || parent.mtimeMs >= since);
}

async function list(directory: string): Promise<{ names: string[]; error?: NodeJS.ErrnoException }> {
  try {
    const names = await readdir(directory);
    return { names: names.filter((name) => !name.startsWith('.')).sort() };
  } catch (error) {
    return isGone(error) ? { names: [] } : { names: [], error: error as NodeJS.ErrnoException };
  }
}

/** A name in another encoding can't be asked for again. */
const notUtf8: NodeJS.ErrnoException = Object.assign(new Error('the name is not UTF-8'), { code: 'EILSEQ' });

/** What disappears between listing and looking is no error: its directory has changed and is looked at next time. */
const isGone = (error: unknown) => ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

function goneAsUndefined(error: unknown): undefined {
  if (!isGone(error)) throw error;
}

function compare(a: Steps, b: Steps): number {
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  }
  return a.length - b.length;
}
