import { fileSource } from '../../connectors/dicom/byte-source.js';
import { openDicom } from '../../connectors/dicom/part10.js';
import { DicomProblem } from '../../connectors/dicom/problem.js';

/** What a study's own objects say of its patient and of itself, byte for byte, so that what is filed beside them matches. */
export interface StudyHeader {
  /** Values of Specific Character Set (0008,0005). */
  characterSet: string[];
  /** Values by tag, base64, without padding. */
  values: Record<string, string>;
}

/** Value representations of what is kept: the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1), as far as a report states them again. */
export const HEADER_ELEMENTS: Readonly<Record<string, string>> = {
  '00080020': 'DA',
  '00080030': 'TM',
  '00080050': 'SH',
  '00080090': 'PN',
  '00080201': 'SH',
  '00081030': 'LO',
  '00100010': 'PN',
  '00100020': 'LO',
  '00100021': 'LO',
  '00100030': 'DA',
  '00100040': 'CS',
  '0020000D': 'UI',
  '00200010': 'SH',
};

/** No value of these modules is longer than this. */
const LONGEST_BYTES = 1024;

/** Reads the header of one file. Undefined where it is no DICOM object. */
export async function readStudyHeader(path: string): Promise<StudyHeader | undefined> {
  const source = await fileSource(path);
  try {
    const { dataSet } = await openDicom(source);
    const elementValue = (tag: string): Buffer => dataSet.elements.get(tag)?.value ?? Buffer.alloc(0);
    const values: Record<string, string> = {};
    for (const tag of Object.keys(HEADER_ELEMENTS)) {
      const value = trimmed(elementValue(tag));
      if (value.length > 0 && value.length <= LONGEST_BYTES) values[tag] = value.toString('base64');
    }
    const terms = trimmed(elementValue('00080005')).toString('latin1');
    return { characterSet: terms === '' ? [] : terms.split('\\'), values };
  } catch (error) {
    if (error instanceof DicomProblem) return undefined;
    throw error;
  } finally {
    await source.close();
  }
}

/** Without the padding at the end. */
function trimmed(value: Buffer): Buffer {
  let end = value.length;
  while (end > 0 && (value[end - 1] === 0 || value[end - 1] === 0x20)) end--;
  return value.subarray(0, end);
}
