import type { DicomJson, DicomJsonAttribute } from './values.js';

/** Modifying System (0400,0563) of objects that a hub delivered to another hospital's archive. */
export const modifyingSystem = 'federation-hub';

const originalAttributes = '04000561';

/**
 * Whose an object is that a hub delivered: Source of Previous Values (0400,0564) of the hub's item of Original Attributes Sequence (0400,0561; PS3.3
 * C.12.1.1.9), or `unknown`; undefined of an object without such an item. Any hub's mark counts. A sequence that an archive gives as bytes is looked
 * through for the mark, and one that it does not give at all counts as marked.
 */
export function copiedFrom(json: DicomJson): string | undefined {
  const attribute = json[originalAttributes];
  if (!attribute) return undefined;
  if (!Array.isArray(attribute.Value)) return holdsMark(attribute) ? 'unknown' : undefined;
  const items = attribute.Value.filter((item): item is DicomJson => item !== null && typeof item === 'object');
  const own = items.findLast((item) => textOf(item['04000563']) === modifyingSystem);
  return own && (textOf(own['04000564']) || 'unknown');
}

function holdsMark({ InlineBinary, BulkDataURI }: DicomJsonAttribute): boolean {
  if (typeof InlineBinary === 'string') return Buffer.from(InlineBinary, 'base64').includes(modifyingSystem);
  return BulkDataURI !== undefined;
}

function textOf(attribute: DicomJsonAttribute | undefined): string {
  const [value] = Array.isArray(attribute?.Value) ? attribute.Value : [];
  const given =
    typeof attribute?.InlineBinary === 'string' ? Buffer.from(attribute.InlineBinary, 'base64').toString('latin1') : value;
  return typeof given === 'string' ? given.replace(/\0/g, '').trim().slice(0, 64) : '';
}
