import { canonical } from '../../store/canonical-json.js';
import { leafHash } from './merkle.js';

/**
 * Leaf of the tree for a stored row, given as the JSON that PostgreSQL makes of it (row_to_json, time zone UTC: times to the microsecond).
 * The row is hashed as canonical JSON. Columns that are null or false are left out, so that a column that is added later,
 * empty or `false` in the rows that there are, does not change their leaves.
 */
export const leafOfRow = (row: Readonly<Record<string, unknown>>): Buffer => leafHash(canonicalRow(row));

export const canonicalRow = (row: Readonly<Record<string, unknown>>): string =>
  canonical(Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null && value !== false)));
