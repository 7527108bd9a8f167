import { randomUUID } from 'node:crypto';
import { link, lstat, mkdir, open, readFile, realpath, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ObjectUids, type Part10Object, SourceError, type StoreOutcome } from '../connector.js';
import { bufferSource } from '../dicom/byte-source.js';
import { describeInstance } from '../dicom/describe.js';
import { readObject } from '../dicom/read-study.js';
import { locatorOf } from './locate.js';

/** Below the root, beside what others put there. */
const FOLDER = 'received';

/** Failure Reason (0008,1197): PS3.18 table I.2-2, and Duplicate SOP Instance of PS3.7 annex C. */
const failure = { processing: 0x0110, duplicate: 0x0111, outOfResources: 0xa700, cannotUnderstand: 0xc000 } as const;

/** A place by UIDs alone: digits and dots name nothing outside. */
const stepsOf = ({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: ObjectUids): string[] => [
  FOLDER,
  studyInstanceUid,
  seriesInstanceUid,
  `${sopInstanceUid}.dcm`,
];

export const storedLocator = (uids: ObjectUids): string => locatorOf(stepsOf(uids));

/**
 * Keeps objects as files, one after the other: each is whole and on disk before it has its name, and no file is ever replaced. An object that is there
 * already, byte by byte, is kept; another one with its SOP Instance UID is refused.
 * @throws SourceError when the folder can't be written at all.
 */
export async function* storeInFolder(
  root: string,
  objects: AsyncIterable<Part10Object>,
  signal: AbortSignal,
): AsyncGenerator<StoreOutcome> {
  for await (const object of objects) {
    signal.throwIfAborted();
    yield { sopInstanceUid: object.sopInstanceUid, ...(await storeObject(root, object)) };
  }
}

type Outcome = Omit<StoreOutcome, 'sopInstanceUid'>;

const kept: Outcome = { stored: true, status: 0 };
const refused = (status: number, detail: string): Outcome => ({ stored: false, status, detail });

async function storeObject(root: string, { sopInstanceUid, bytes }: Part10Object): Promise<Outcome> {
  const uids = await uidsOf(bytes);
  if (uids?.sopInstanceUid !== sopInstanceUid) return refused(failure.cannotUnderstand, 'The object does not state its UIDs.');
  const path = join(root, ...stepsOf(uids));
  try {
    await makeFolders(root, dirname(path));
    return await write(path, bytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) return refused(failure.outOfResources, 'The disk of the archive is full.');
    if (error instanceof SourceError) throw error;
    throw new SourceError('refused', `The folder cannot be written (${code || 'I/O error'}).`, { cause: error });
  }
}

async function uidsOf(bytes: Uint8Array): Promise<ObjectUids | undefined> {
  const read = await readObject(bufferSource(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  const described = read.ok ? describeInstance(read.json, { digest: '', locator: '' }) : read;
  if (!described.ok) return undefined;
  const { studyInstanceUid, series } = described.study;
  const [one] = series;
  const sopInstanceUid = one?.instances[0]?.sopInstanceUid;
  return one && sopInstanceUid ? { studyInstanceUid, seriesInstanceUid: one.seriesInstanceUid, sopInstanceUid } : undefined;
}

/** A folder that is a link would lead elsewhere. */
async function makeFolders(root: string, folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o750 });
  if ((await realpath(folder)) !== folder) throw new SourceError('refused', 'The folder holds a link where objects are kept.');
  if (first !== undefined)
    for (let made = folder; made.length >= dirname(first).length && made.startsWith(root); made = dirname(made))
      await syncFolder(made);
}

async function write(path: string, bytes: Uint8Array): Promise<Outcome> {
  // a name that begins with a dot is no file of the archive
  const draft = join(dirname(path), `.${randomUUID()}.part`);
  try {
    const file = await open(draft, 'wx', 0o640);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    const isNew = await giveName(draft, path);
    await syncFolder(dirname(path));
    if (isNew || (await readFile(path)).equals(bytes)) return kept;
    return refused(failure.duplicate, 'The archive holds another object with this SOP Instance UID.');
  } finally {
    await unlink(draft).catch(() => undefined);
  }
}

/**
 * @returns false where the name is taken. A hard link is never made over a file; where the file system has none, one that appears between the two steps
 * would be replaced.
 */
async function giveName(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
  }
  const isTaken = await lstat(path).then(
    () => true,
    () => false,
  );
  if (!isTaken) await rename(draft, path);
  return !isTaken;
}

/** A name lasts once its directory is on disk. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
