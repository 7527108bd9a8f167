import { createHash } from 'node:crypto';
import type { DicomJson } from '../dicom/values.js';
import { claimOf } from './read-studies.js';
import { uidIn } from './source.js';

/**
 * What a source answered of its studies when they were read: a row that reads the same again need not be read again. It is kept in memory only; a
 * row that states no number of instances (0020,1208) tells nothing, and is never known.
 */
export interface SeenStudies {
  /** Whether the study was read to its end when the source answered this very row. */
  isRead(row: DicomJson): boolean;
  /** Whether the study was looked at when it did, even if something of it could not be read. */
  isSeen(row: DicomJson): boolean;
  note(row: DicomJson, wasRead: boolean): void;
  /** Whether the source stated more instances of the study when it was looked at last. */
  hadMore(row: DicomJson): boolean;
  /** Studies that the last complete listing with this beginning had, and that this one has not. */
  missingFrom(listing: Listed): string[];
  /** A few that both have. */
  stillIn(listing: Listed): string[];
  /** A listing that came to its end. */
  listed(listing: Listed): void;
}

/** A listing of recent studies: the study date that it begins at, and their UIDs. */
export interface Listed {
  from: string;
  uids: ReadonlySet<string>;
}

const most = 100_000;

export function createSeenStudies(): SeenStudies {
  const seen = new Map<string, { digest: string; claimed: number; wasRead: boolean }>();
  let before: Listed | undefined;
  const known = (row: DicomJson) => {
    const study = seen.get(uidOf(row));
    return study?.digest === digestOf(row) ? study : undefined;
  };
  return {
    isRead: (row) => known(row)?.wasRead === true,
    isSeen: (row) => claimOf(row) === undefined || known(row) !== undefined,
    note(row, wasRead) {
      const claimed = claimOf(row);
      if (claimed === undefined) return;
      seen.delete(uidOf(row));
      seen.set(uidOf(row), { digest: digestOf(row), claimed, wasRead });
      if (seen.size > most) seen.delete(seen.keys().next().value as string);
    },
    hadMore: (row) => (seen.get(uidOf(row))?.claimed ?? 0) > (claimOf(row) ?? Number.POSITIVE_INFINITY),
    missingFrom: ({ from, uids }) => (before?.from === from ? [...before.uids].filter((uid) => !uids.has(uid)) : []),
    stillIn: ({ uids }) => [...(before?.uids ?? [])].filter((uid) => uids.has(uid)).slice(0, 3),
    listed(listing) {
      before = listing.uids.size <= most ? listing : undefined;
    },
  };
}

const uidOf = (row: DicomJson): string => uidIn(row, '0020000D') ?? '';
const digestOf = (row: DicomJson): string => createHash('sha256').update(JSON.stringify(row)).digest('base64');
