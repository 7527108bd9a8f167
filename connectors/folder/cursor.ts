import type { Steps } from './walk.js';

/** How far the folder has been read. */
export interface FolderCursor {
  /** Start of the last complete scan, ms since 1970: what changed before is known. */
  since: number;
  /** Start of the scan that is going on, and the last file of it that is done. */
  started?: number;
  after?: Steps;
}

/** A cursor that can't be read means a scan from the beginning: repeating is harmless, missing is not. */
export function parseCursor(cursor: string | undefined): FolderCursor {
  try {
    const { since, started, after } = JSON.parse(cursor ?? '') as FolderCursor;
    const isValid =
      isTime(since) &&
      (started === undefined || (isTime(started) && Array.isArray(after) && after.every((step) => typeof step === 'string')));
    return isValid ? { since, started, after } : { since: 0 };
  } catch {
    return { since: 0 };
  }
}

const isTime = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
