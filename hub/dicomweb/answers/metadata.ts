import type { Readable } from 'node:stream';
import { SourceError } from '../../../connectors/connector.js';
import { byteStream } from '../../../connectors/dicom/byte-source.js';
import type { DicomJson, DicomJsonAttribute } from '../../../connectors/dicom/values.js';
import { text } from '../../../connectors/dicom/describe.js';
import { primed } from '../../imaging/primed.js';
import type { AnsweredKind, Answering } from './kind.js';
import { arrayItems } from './json-items.js';

const offers = ['application/dicom+json', 'application/json'].map((type) => ({ type, framing: 'single' }) as const);

/**
 * Metadata in the DICOM JSON model (PS3.18 section 10.4.1.1.2), instance by instance. Values that the source gives by an address of its own get one
 * of the hub, where policy and audit are.
 */
export const metadata: AnsweredKind = {
  offers,
  parameters: [],
  fitting: () => offers,
  async answer(answering, { offer }) {
    const reply = await answering.ask('metadata');
    return { contentType: offer.type, body: byteStream(await primed(arrayOf(reply.body, answering))) };
  },
};

async function* arrayOf(body: Readable, answering: Answering): AsyncGenerator<Uint8Array> {
  let separator = '[';
  for await (const item of arrayItems(body)) {
    yield Buffer.from(separator + JSON.stringify(ofHub(item as DicomJson, answering)));
    separator = ',';
  }
  yield Buffer.from(separator === '[' ? '[]' : ']');
}

/** @throws SourceError when it is not of what was asked for: what a source mixes up is not shown. */
function ofHub(item: DicomJson, { wanted, baseUrl }: Answering): DicomJson {
  const [study, series, instance] = ['0020000D', '0020000E', '00080018'].map((tag) => text(item, tag));
  const isWanted =
    study === wanted.studyInstanceUid &&
    [undefined, series].includes(wanted.seriesInstanceUid) &&
    [undefined, instance].includes(wanted.sopInstanceUid);
  if (!isWanted) throw new SourceError('bad-response', 'The source describes another object than was asked for.');
  return withAddresses(withPixels(item), `${baseUrl}/studies/${study}/series/${series}/instances/${instance}/bulkdata`);
}

/** Some archives leave Pixel Data out of the metadata of images. */
function withPixels(item: DicomJson): DicomJson {
  const isImage = item['00280010'] !== undefined && !['7FE00010', '7FE00008', '7FE00009'].some((tag) => item[tag]);
  const vr = Number(text(item, '00280100') ?? 16) > 8 ? 'OW' : 'OB';
  return isImage ? { ...item, '7FE00010': { vr, BulkDataURI: '' } } : item;
}

/** Pixels are always by address; Retrieve URL (0008,1190) would be that of the source. */
function withAddresses(item: DicomJson, address: string): DicomJson {
  const changed: DicomJson = {};
  for (const [tag, attribute] of Object.entries(item)) {
    if (tag === '00081190') continue;
    changed[tag] = withAddress(attribute, `${address}/${tag}`);
  }
  return changed;
}

function withAddress(attribute: DicomJsonAttribute, address: string): DicomJsonAttribute {
  const { vr, Value, BulkDataURI } = attribute;
  if (BulkDataURI !== undefined) return { vr, BulkDataURI: address };
  if (vr !== 'SQ' || !Array.isArray(Value)) return attribute;
  return { vr, Value: Value.map((item, i) => (isItem(item) ? withAddresses(item, `${address}/${i}`) : item)) };
}

const isItem = (item: unknown): item is DicomJson => typeof item === 'object' && item !== null && !Array.isArray(item);
