import { leafHash } from './merkle.js';

/**
 * Leaf of the tree for a stored row, given as the JSON that PostgreSQL makes of it (row_to_json, time zone UTC: times to the microsecond).
 * The row is hashed as canonical JSON. Columns that are null or false are left out, so that a column that is added later,
 * empty or `false` in the rows that there are, does not change their leaves.
 */
export const leafOfRow = (row: Readonly<Record<string, unknown>>): Buffer => leafHash(canonicalRow(row));

export function canonicalRow(row: Readonly<Record<string, unknown>>): string {
  return object(
    Object.keys(row).filter((name) => row[name] !== null && row[name] !== false),
    row,
  );
}

/** JSON Canonicalization Scheme (RFC 8785): names sorted by UTF-16 code units, no white space, numbers and strings as ECMAScript writes them. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return object(Object.keys(value), value as Record<string, unknown>);
}

const object = (names: string[], of: Readonly<Record<string, unknown>>): string =>
  `{${names
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(of[name])}`)
    .join(',')}}`;
