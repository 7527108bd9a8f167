import type { JWK } from 'jose';

/**
 * An export of the audit is NDJSON: a header, then the leaves [from, to) in order, after the last leaf of each signed head that head,
 * then rows that are in no tree, and an end. Hashes are hex, heads compact JWS.
 */
export const FORMAT = 'audit-export/1';

export interface ExportHeader {
  format: typeof FORMAT;
  from: number;
  to: number;
  /** The head that the leaves are proved against. */
  head: string;
  keys: { keys: JWK[] };
  /** The perfect subtrees that make up the leaves before `from`. */
  left: string[];
  /** The last head that covers no leaf of this file: nothing in the file is much older. */
  before?: string;
  /** What the hub signed when it moved months out of the database. */
  archives: string[];
  /** That trees of these sizes are beginnings of the head's (RFC 6962 2.1.2). */
  consistency: { size: number; path: string[] }[];
}

/** `row` is null where the database holds none any more; it is absent where the row went to an archive. */
export interface LeafLine {
  leaf: number;
  /** AuditEvent.id: recorded in microseconds and number, as they were when the row was sealed. */
  event: string;
  hash: string;
  row?: Record<string, unknown> | null;
  archived?: string;
  /** The month of the partition that holds the row, where that is not the month in which it was recorded. */
  liesIn?: string;
}

export interface HeadLine {
  head: string;
}

/** A row that is in no tree, dated before the head. */
export interface UnsealedLine {
  unsealed: string;
  row: Record<string, unknown>;
}

/** `right` are the perfect subtrees that make up the leaves from `to` on. */
export interface EndLine {
  end: { right: string[]; unsealed: number };
}

export type ExportLine = LeafLine | HeadLine | UnsealedLine | EndLine;
