import type { ByteSource } from './byte-source.js';
import { type DataSet, type Element, type Encoding, readDataSet } from './data-set.js';
import { inflatedSource } from './inflated-source.js';
import { type DicomLimits, DicomProblem, defaultLimits } from './problem.js';
import { dictionaryVr, isVr } from './vr.js';

export const transferSyntaxes = {
  implicitLittleEndian: '1.2.840.10008.1.2',
  explicitLittleEndian: '1.2.840.10008.1.2.1',
  deflatedLittleEndian: '1.2.840.10008.1.2.1.99',
  explicitBigEndian: '1.2.840.10008.1.2.2',
} as const;

/** An object whose header was read; `body` gives the bytes that its elements' offsets refer to. */
export interface DicomObject {
  /** File Meta Information (PS3.10 7.1), when the file has it. */
  meta?: DataSet;
  /** True when the file begins as PS3.10 demands: preamble, `DICM`, File Meta Information with a Transfer Syntax UID. */
  isPart10: boolean;
  /** As stated, or as found from the bytes when nothing is stated. */
  transferSyntaxUid: string;
  dataSet: DataSet;
  /** Where the data set begins in the source (before inflation). */
  dataSetOffset: number;
  pixelData?: Element;
  body: ByteSource;
}

/**
 * Opens an object as it is found in archives: PS3.10 files, and data sets without preamble, without File Meta Information or
 * without a stated transfer syntax; little and big endian; deflated.
 * @throws DicomProblem when it isn't DICOM, is cut short, malformed or beyond `limits`; I/O errors as they are.
 */
export async function openDicom(source: ByteSource, limits: DicomLimits = defaultLimits): Promise<DicomObject> {
  const { meta, hasPrefix, end } = await readMeta(source, limits);
  const stated = meta && uidOf(meta, '00020010');
  const encoding = (stated && encodingOf(stated)) || (await detectEncoding(source, end, hasPrefix || meta !== undefined));
  const transferSyntaxUid = stated ?? transferSyntaxOf(encoding);
  const isDeflated = transferSyntaxUid === transferSyntaxes.deflatedLittleEndian;
  const body = isDeflated ? await inflatedSource(source, end, limits) : source;
  const { dataSet, pixelData } = await readDataSet(body, isDeflated ? 0 : end, encoding, limits);
  return { meta, isPart10: hasPrefix && stated !== undefined, transferSyntaxUid, dataSet, dataSetOffset: end, pixelData, body };
}

/** The transfer syntax that the beginning of an object states; undefined where it has no File Meta Information. */
export async function statedTransferSyntax(head: ByteSource): Promise<string | undefined> {
  try {
    const { meta } = await readMeta(head, defaultLimits);
    return meta && uidOf(meta, '00020010');
  } catch (error) {
    if (error instanceof DicomProblem) return undefined;
    throw error;
  }
}

/** First value of a UI element, without its padding. */
export function uidOf(dataSet: DataSet, tag: string): string | undefined {
  const text = dataSet.elements.get(tag)?.value?.toString('latin1').split('\\')[0];
  return text?.replace(/[\0\s]+$/, '').trim() || undefined;
}

async function readMeta(source: ByteSource, limits: DicomLimits): Promise<{ meta?: DataSet; hasPrefix: boolean; end: number }> {
  const start = await source.read(0, 136);
  const hasPrefix = start.subarray(128, 132).toString('latin1') === 'DICM';
  const offset = hasPrefix ? 132 : 0;
  if (start.length < offset + 4 || start.readUInt16LE(offset) !== 2) return { hasPrefix, end: offset };
  const explicitLittleEndian = { explicit: true, littleEndian: true };
  const { dataSet, end } = await readDataSet(source, offset, explicitLittleEndian, limits, (tag) => tag.startsWith('0002'));
  return { meta: dataSet, hasPrefix, end };
}

/** PS3.5 annex A: all but three transfer syntaxes, private ones included, encode the data set as explicit little endian. */
export function encodingOf(transferSyntaxUid: string): Encoding {
  return {
    explicit: transferSyntaxUid !== transferSyntaxes.implicitLittleEndian,
    littleEndian: transferSyntaxUid !== transferSyntaxes.explicitBigEndian,
  };
}

function transferSyntaxOf(encoding: Encoding): string {
  if (!encoding.littleEndian) return transferSyntaxes.explicitBigEndian;
  return encoding.explicit ? transferSyntaxes.explicitLittleEndian : transferSyntaxes.implicitLittleEndian;
}

/** The first element tells: its group is a small number in the right byte order, and letters follow it in explicit VR. */
async function detectEncoding(source: ByteSource, offset: number, isDicom: boolean): Promise<Encoding> {
  const head = await source.read(offset, 8);
  if (head.length < 8) throw new DicomProblem(isDicom ? 'truncated' : 'not-dicom', 'There is no data set.');
  const isGroup = (group: number) => group >= 1 && group <= 0x40;
  const littleEndian = isGroup(head.readUInt16LE(0));
  const explicit = isVr(head.subarray(4, 6).toString('latin1'));
  if (explicit && (littleEndian || isGroup(head.readUInt16BE(0)))) return { explicit, littleEndian };
  const tag = head.readUInt16LE(0).toString(16).padStart(4, '0') + head.readUInt16LE(2).toString(16).padStart(4, '0');
  const isPlausible = isDicom || dictionaryVr(tag.toUpperCase()) !== 'UN';
  const length = head.readUInt32LE(4);
  if (littleEndian && isPlausible && (length <= source.length || length === 0xffffffff)) return { explicit: false, littleEndian };
  if (isDicom) throw new DicomProblem('malformed', 'No transfer syntax is stated, and none can be told from the data set.');
  throw new DicomProblem('not-dicom', 'The file begins neither with a PS3.10 prefix nor with a data set.');
}
