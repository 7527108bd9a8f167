import { lstat, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { type ByteSource, fileSource } from '../dicom/byte-source.js';
import { SourceError } from '../connector.js';
import type { Steps } from './walk.js';

export const maxLocator = 1000;

/** Steps below the root as a locator, always with `/`. */
export const locatorOf = (steps: Steps): string => steps.join('/');

/**
 * Opens the file that a locator names. A locator that leaves the root, by its steps or through a link, finds nothing.
 * @throws SourceError `not-found`, also for what is no ordinary file; I/O errors as they are.
 */
export async function openLocator(root: string, locator: string): Promise<ByteSource> {
  const steps = locator.split('/');
  const isSafe =
    locator.length <= maxLocator && steps.every((step) => step !== '' && step !== '.' && step !== '..' && !/[\0\\]/.test(step));
  if (!isSafe) throw notFound();
  try {
    const path = join(root, ...steps);
    const real = await realpath(path);
    if (real !== path || !real.startsWith(root.endsWith(sep) ? root : root + sep)) throw notFound();
    return await fileSource(real);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EINVAL', 'ENXIO', 'ENAMETOOLONG', 'EISDIR'].includes(code)) throw notFound(error);
    throw error;
  }
}

/** Whether something is at the place of a locator. @throws SourceError when it can't be told: a folder that can't be looked into has lost nothing. */
export async function isThere(root: string, locator: string): Promise<boolean> {
  try {
    await lstat(join(root, ...locator.split('/')));
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw new SourceError('unreachable', `The folder cannot be looked into (${code}).`, { cause: error });
  }
}

const notFound = (cause?: unknown) => new SourceError('not-found', 'The folder holds no such file.', { cause });
