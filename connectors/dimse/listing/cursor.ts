import type { Day } from './dates.js';

/** How far a PACS has been read. */
export interface Cursor {
  /** When the last complete listing of everything began, ms since 1970; and when the last one of recent studies did. */
  fullAt?: number;
  recentAt?: number;
  /** The listing of everything that is going on: when it began, the last day that is still to be listed, and how many days are asked for at once. */
  listing?: { startedAt: number; to: Day; days: number };
}

/** A cursor that can't be read means reading from the beginning: repeating is harmless, missing is not. */
export function parseCursor(cursor: string | undefined): Cursor {
  try {
    const { fullAt, recentAt, listing } = JSON.parse(cursor ?? '') as Cursor;
    const isGoing = listing !== undefined && [listing.startedAt, listing.to, listing.days].every(Number.isSafeInteger);
    return {
      ...(Number.isSafeInteger(fullAt) ? { fullAt } : {}),
      ...(Number.isSafeInteger(recentAt) ? { recentAt } : {}),
      ...(isGoing && listing.days > 0 ? { listing } : {}),
    };
  } catch {
    return {};
  }
}
