import { elements } from '@iwharris/dicom-data-dictionary';

/** Value Representations whose explicit form has two reserved bytes and a 32-bit length (PS3.5 table 7.1-1). */
const longForm = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);
const shortForm = new Set([
  'AE',
  'AS',
  'AT',
  'CS',
  'DA',
  'DS',
  'DT',
  'FD',
  'FL',
  'IS',
  'LO',
  'LT',
  'PN',
  'SH',
  'SL',
  'SS',
  'ST',
  'TM',
  'UI',
  'UL',
  'US',
]);

export const isVr = (vr: string): boolean => longForm.has(vr) || shortForm.has(vr);
export const hasLongForm = (vr: string): boolean => longForm.has(vr);

const dictionary = loadDictionary();

/**
 * Value Representation of an attribute by PS3.6, for implicit VR and for values sent as UN. `tag` is `GGGGEEEE`, upper case.
 * Returns `UN` for what the dictionary doesn't know, and `xs` where Pixel Representation decides between US and SS.
 */
export function dictionaryVr(tag: string): string {
  const known = dictionary.get(tag);
  if (known !== undefined) return known;
  const group = Number.parseInt(tag.slice(0, 4), 16);
  if (tag.endsWith('0000')) return 'UL';
  // Private creators (PS3.5 7.8.1) are the only private elements whose representation is known.
  if (group % 2 === 1) return /^00[1-9A-F][0-9A-F]$/.test(tag.slice(4)) ? 'LO' : 'UN';
  return dictionary.get(`${tag.slice(0, 2)}xx${tag.slice(4)}`) ?? 'UN';
}

/** PS3.6 as a table of tag and representation. Of several representations the one that holds in implicit VR (PS3.5 A.1); `xs` is US or SS. */
function loadDictionary(): Map<string, string> {
  return new Map(Object.values(elements).map(({ tag, vr }) => [tag.replace(/[(),]/g, ''), representation(vr)]));
}

function representation(vr: string): string {
  if (vr === 'US or SS') return 'xs';
  if (vr.endsWith('OW')) return 'OW';
  return isVr(vr) ? vr : 'UN';
}
