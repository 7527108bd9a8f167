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
 * The object's attributes in the DICOM JSON model (PS3.18 annex F). Pixel data, group lengths and values that were left on disk
 * are absent; Available Transfer Syntax UID (0008,3002) states how the object is stored. Text is Unicode, so
 * Specific Character Set reads ISO_IR 192 (PS3.18 F.2.2 note).
 */
export function toDicomJson(object: Pick<DicomObject, 'dataSet' | 'transferSyntaxUid'>): DicomJson {
  return { ...attributesOf(object.dataSet), '00083002': { vr: 'UI', Value: [object.transferSyntaxUid] } };
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

/** An item without a Specific Character Set of its own has that of the data set around it (PS3.3 C.12.1.1.2). */
function decoderIn(dataSet: DataSet): Decode | undefined {
  const value = dataSet.elements.get(specificCharacterSet)?.value;
  return value && decoderFor(value.toString('latin1').replace(/\0/g, '').split('\\'));
}

function toAttribute(element: Element, littleEndian: boolean, context: Context): DicomJsonAttribute | undefined {
  if (element.items) return { vr: 'SQ', Value: element.items.map((item) => dataSetToJson(item, context)) };
  if (element.value === undefined) return undefined;
  if (element.tag === specificCharacterSet) return { vr: 'CS', Value: ['ISO_IR 192'] };
  const vr = element.vr === 'xs' ? (context.signed ? 'SS' : 'US') : element.vr;
  return toJsonAttribute(vr, element.value, littleEndian, context.decode);
}
