import { chunks } from '../../../connectors/dicom/byte-source.js';
import type { DataSet, Element } from '../../../connectors/dicom/data-set.js';
import { type DicomObject, transferSyntaxes } from '../../../connectors/dicom/part10.js';
import { inLittleEndian, wordSizeOf } from '../../../connectors/dicom/values.js';
import type { BulkPath, PartHead } from './messages.js';

interface BulkValue {
  head: PartHead;
  body: AsyncIterable<Uint8Array>;
}

/** The value of an attribute other than pixel data, in little endian (PS3.18 section 10.4.1.1.5); undefined where the object has none. */
export function bulkValue(object: DicomObject, path: BulkPath): BulkValue | undefined {
  const found = elementAt(object.dataSet, path);
  if (!found || found.element.items || (found.element.value === undefined && found.element.length < 0)) return undefined;
  const { element, dataSet } = found;
  const size = dataSet.littleEndian ? 1 : wordSizeOf(element.vr);
  const swapped = (bytes: Uint8Array): Uint8Array => inLittleEndian(Buffer.from(bytes), size);
  async function* body(): AsyncGenerator<Uint8Array> {
    if (element.value) yield swapped(element.value);
    else for await (const chunk of chunks(object.body, element.offset, element.offset + element.length)) yield swapped(chunk);
  }
  return {
    head: { mediaType: 'application/octet-stream', transferSyntaxUid: transferSyntaxes.explicitLittleEndian },
    body: body(),
  };
}

function elementAt(dataSet: DataSet, path: BulkPath): { element: Element; dataSet: DataSet } | undefined {
  const [tag, item, ...inner] = path;
  const element = dataSet.elements.get(String(tag));
  if (!element || path.length <= 1) return element && { element, dataSet };
  const nested = element.items?.[Number(item)];
  return nested && elementAt(nested, inner);
}
