import { createHash } from 'node:crypto';
import { DicomProblem } from './problem.js';

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
/**
 * Attributes that change with the transfer syntax of a copy: Photometric Interpretation, Planar Configuration, Lossy Image Compression with its ratio and
 * method, and the extended offset table.
 */
const ofTheCopy = new Set(['00280004', '00280006', '00282110', '00282112', '00282114', '7FE00001', '7FE00002', '7FE00003']);
const maxDepth = 64;

/**
 * SHA-256, hex, of an instance's metadata in canonical order: tags sorted, server's attributes and bulk data addresses left out.
 * @throws DicomProblem `too-large` when it nests deeper than 64 sequences.
 */
export function metadataDigest(json: object): string {
  return sha256(canonical(json, isOfServer, 0));
}

/**
 * The same for every copy of an object that a PACS sends, whatever the transfer syntax: what changes with that, and private attributes, whose
 * representation implicit VR does not tell, are left out too.
 * @throws DicomProblem `too-large` when it nests deeper than 64 sequences.
 */
export function copyDigest(json: object): string {
  return sha256(canonical(json, (tag) => isOfServer(tag) || ofTheCopy.has(tag) || isPrivate(tag), 0));
}

const isOfServer = (key: string): boolean => ofTheServer.has(key) || key === 'BulkDataURI';
const isPrivate = (key: string): boolean => /^[\dA-F]{3}[13579BDF][\dA-F]{4}$/.test(key);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function canonical(value: unknown, isOmitted: (key: string) => boolean, depth: number): string {
  if (depth > maxDepth) throw new DicomProblem('too-large', `The metadata nests deeper than ${maxDepth}.`);
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, isOmitted, depth + 1)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter(([key]) => !isOmitted(key));
  const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one, isOmitted, depth + 1)}`).join(',')}}`;
}
