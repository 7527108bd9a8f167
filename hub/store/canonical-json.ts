/**
 * JSON Canonicalization Scheme (RFC 8785): names sorted by UTF-16 code units, no white space, numbers and strings as ECMAScript writes them; what is
 * undefined is left out. Whatever is hashed or signed is written so.
 */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`)
    .join(',')}}`;
}
