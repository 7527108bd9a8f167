import { bufferSource } from '../../dicom/byte-source.js';
import { readDataSet } from '../../dicom/data-set.js';
import { encodingOf, transferSyntaxes } from '../../dicom/part10.js';
import { type DicomLimits, DicomProblem, defaultLimits } from '../../dicom/problem.js';
import { attributesOf } from '../../dicom/to-json.js';
import type { DicomJson } from '../../dicom/values.js';
import { dictionaryVr, hasLongForm } from '../../dicom/vr.js';
import { protocolError } from '../association/pdu.js';

/** Keys of a query by tag: a value to match, or empty for what is to be returned (PS3.4 C.2.2.2). */
export type Keys = Readonly<Record<string, string>>;

/** Uncompressed transfer syntaxes of identifiers, in the order that the hub prefers. */
export const identifierSyntaxes = [transferSyntaxes.explicitLittleEndian, transferSyntaxes.implicitLittleEndian];

/** An answer is a handful of attributes. */
const limits: DicomLimits = { ...defaultLimits, maxHeaderBytes: 1024 * 1024, maxElements: 2_000, maxDepth: 8 };

/** The data set of a query or retrieval request. Values are ASCII: UIDs, dates, levels. */
export function encodeIdentifier(keys: Keys, transferSyntax: string): Buffer {
  const isExplicit = transferSyntax !== transferSyntaxes.implicitLittleEndian;
  const tags = Object.keys(keys).sort();
  return Buffer.concat(tags.map((tag) => element(tag, keys[tag] ?? '', isExplicit)));
}

/** An answer's attributes, its text decoded by its own character set. @throws SourceError `bad-response` when it can't be read. */
export async function decodeIdentifier(data: AsyncIterable<Buffer>, transferSyntax: string): Promise<DicomJson> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of data) {
    length += part.length;
    if (length > limits.maxHeaderBytes) throw protocolError('an answer to a query is too long');
    parts.push(part);
  }
  try {
    const { dataSet } = await readDataSet(bufferSource(Buffer.concat(parts)), 0, encodingOf(transferSyntax), limits);
    return attributesOf(dataSet);
  } catch (error) {
    if (error instanceof DicomProblem) throw protocolError('an answer to a query is no data set');
    throw error;
  }
}

function element(tag: string, value: string, isExplicit: boolean): Buffer {
  const vr = dictionaryVr(tag);
  const padded = value.length % 2 === 0 ? value : `${value}${vr === 'UI' ? '\0' : ' '}`;
  const head = Buffer.alloc(isExplicit && hasLongForm(vr) ? 12 : 8);
  head.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  head.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
  if (!isExplicit) head.writeUInt32LE(padded.length, 4);
  else {
    head.write(vr, 4, 'latin1');
    if (head.length === 12) head.writeUInt32LE(padded.length, 8);
    else head.writeUInt16LE(padded.length, 6);
  }
  return Buffer.concat([head, Buffer.from(padded, 'latin1')]);
}
