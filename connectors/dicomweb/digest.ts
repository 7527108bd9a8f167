import { createHash } from 'node:crypto';
import { DicomProblem } from '../dicom/problem.js';

/**
 * Attributes that tell about the server's copy or about the moment of the query: Retrieve AE Title, Instance Availability,
 * Retrieve URL, Available Transfer Syntax UID, counts of related objects; and Pixel Data, which not every server leaves out.
 */
const ofTheServer = new Set([
  '00080054',
  '00080056',
  '00081190',
  '00083002',
  '00201200',
  '00201202',
  '00201204',
  '00201206',
  '00201208',
  '00201209',
  '7FE00010',
]);
const maxDepth = 64;

/**
 * SHA-256, hex, of an instance's metadata in canonical order: tags sorted, server's attributes and bulk data addresses left out.
 * @throws DicomProblem `too-large` when it nests deeper than 64 sequences.
 */
export function metadataDigest(json: object): string {
  return createHash('sha256').update(canonical(json, 0)).digest('hex');
}

function canonical(value: unknown, depth: number): string {
  if (depth > maxDepth) throw new DicomProblem('too-large', `The metadata nests deeper than ${maxDepth}.`);
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, depth + 1)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter(([key]) => !ofTheServer.has(key) && key !== 'BulkDataURI');
  const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one, depth + 1)}`).join(',')}}`;
}
