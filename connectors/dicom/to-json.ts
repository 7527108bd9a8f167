import { type Decode, decoderFor } from './charset.js';
import type { DataSet, Element } from './data-set.js';
import type { DicomObject } from './part10.js';
import { type DicomJson, type DicomJsonAttribute, toJsonAttribute } from './values.js';

const specificCharacterSet = '00080005';
const pixelRepresentation = '00280103';

interface Context {
  decode: Decode;
  signed: boolean;
}

/**
 * The object's attributes in the DICOM JSON model (PS3.18 annex F). Group lengths are absent, pixel data and values that were left on disk
 * are named by an address; Available Transfer Syntax UID (0008,3002) states how the object is stored. Text is Unicode, so
 * Specific Character Set reads ISO_IR 192 (PS3.18 F.2.2 note).
 */
export function toDicomJson({
  dataSet,
  pixelData,
  transferSyntaxUid,
}: Pick<DicomObject, 'dataSet' | 'pixelData' | 'transferSyntaxUid'>): DicomJson {
  const pixels = pixelData ? { [pixelData.tag]: elsewhere(pixelData) } : {};
  return { ...attributesOf(dataSet), '00083002': { vr: 'UI', Value: [transferSyntaxUid] }, ...pixels };
}

/** The attributes of a data set that is no stored object, such as the answer to a query. */
export function attributesOf(dataSet: DataSet): DicomJson {
  const signed = dataSet.elements.get(pixelRepresentation)?.value?.includes(1) ?? false;
  return dataSetToJson(dataSet, { decode: decoderFor([]), signed });
}

function dataSetToJson(dataSet: DataSet, outer: Context): DicomJson {
  const context = { ...outer, decode: decoderIn(dataSet) ?? outer.decode };
  const json: DicomJson = {};
  for (const tag of [...dataSet.elements.keys()].sort()) {
    const attribute = tag.endsWith('0000') ? undefined : toAttribute(dataSet.elements.get(tag)!, dataSet.littleEndian, context);
    if (attribute) json[tag] = attribute;
  }
  return json;
}

/** A value that was left on disk, by an address relative to that of the instance (PS3.18 F.2.6). */
const elsewhere = ({ tag, vr }: Element): DicomJsonAttribute => ({ vr, BulkDataURI: `bulkdata/${tag}` });

/** An item without a Specific Character Set of its own has that of the data set around it (PS3.3 C.12.1.1.2). */
function decoderIn(dataSet: DataSet): Decode | undefined {
  const value = dataSet.elements.get(specificCharacterSet)?.value;
  return value && decoderFor(value.toString('latin1').replace(/\0/g, '').split('\\'));
}

function toAttribute(element: Element, littleEndian: boolean, context: Context): DicomJsonAttribute | undefined {
  if (element.items) return { vr: 'SQ', Value: element.items.map((item) => dataSetToJson(item, context)) };
  if (element.value === undefined) return element.length > 0 ? elsewhere(element) : undefined;
  if (element.tag === specificCharacterSet) return { vr: 'CS', Value: ['ISO_IR 192'] };
  const vr = element.vr === 'xs' ? (context.signed ? 'SS' : 'US') : element.vr;
  return toJsonAttribute(vr, element.value, littleEndian, context.decode);
}
