import { readFile } from 'node:fs/promises';
import { bufferSource } from '../../connectors/dicom/byte-source.js';
import { openDicom } from '../../connectors/dicom/part10.js';
import { elementBytes } from '../../connectors/dicom/write/encode.js';
import { splice } from '../../connectors/dicom/write/splice.js';

/** What became of one file. */
export interface Handled {
  file: string;
  /** Undefined for what can't be read as DICOM. */
  transferSyntaxUid: string | undefined;
  hasPixels: boolean;
  indexed: boolean;
  retrieved: boolean;
  transcoded: boolean;
  rendered: boolean;
}

/** Transfer syntax and pixels of a file, as far as it can be read. */
export async function lookAt(path: string): Promise<Pick<Handled, 'transferSyntaxUid' | 'hasPixels'>> {
  try {
    const { transferSyntaxUid, pixelData } = await openDicom(bufferSource(await readFile(path)));
    return { transferSyntaxUid, hasPixels: pixelData !== undefined };
  } catch {
    return { transferSyntaxUid: undefined, hasPixels: false };
  }
}

/** The same object of a study and series of its own: a file without them is not indexed. */
export async function identified(path: string, uid: string): Promise<Buffer> {
  const file = await readFile(path);
  const object = await openDicom(bufferSource(file));
  const element = (tag: string, vr: string, value: string): [string, Buffer] => [
    tag,
    elementBytes(tag, vr, Buffer.from(value), object.dataSet),
  ];
  return splice(
    object,
    file,
    new Map([
      element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.7'),
      element('00080018', 'UI', `${uid}.1.1`),
      element('00100020', 'LO', 'P-1'),
      element('0020000D', 'UI', uid),
      element('0020000E', 'UI', `${uid}.1`),
    ]),
  );
}

const names: Readonly<Record<string, string>> = {
  '1.2.840.10008.1.2': 'Implicit VR Little Endian',
  '1.2.840.10008.1.2.1': 'Explicit VR Little Endian',
  '1.2.840.10008.1.2.1.99': 'Deflated Explicit VR Little Endian',
  '1.2.840.10008.1.2.2': 'Explicit VR Big Endian',
  '1.2.840.10008.1.2.4.50': 'JPEG Baseline',
  '1.2.840.10008.1.2.4.51': 'JPEG Extended, 12 bits',
  '1.2.840.10008.1.2.4.53': 'JPEG Spectral Selection',
  '1.2.840.10008.1.2.4.55': 'JPEG Full Progression',
  '1.2.840.10008.1.2.4.57': 'JPEG Lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG Lossless, first-order prediction',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS Lossless',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS Near-lossless',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000 Lossless Only',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.4.203': 'High-Throughput JPEG 2000',
  '1.2.840.10008.1.2.5': 'RLE Lossless',
};

/** The document: a row for each transfer syntax. Of what is not indexed, nothing else is asked. */
export function matrix(files: readonly Handled[]): string {
  const order = (uid: string): string =>
    uid
      .split('.')
      .map((part) => part.padStart(4, '0'))
      .join('.');
  const syntaxes = [...new Set(files.map(({ transferSyntaxUid }) => transferSyntaxUid ?? ''))].sort((a, b) =>
    a && b ? (order(a) < order(b) ? -1 : 1) : a ? -1 : 1,
  );
  const rows = syntaxes.map((uid) => {
    const of = files.filter((one) => (one.transferSyntaxUid ?? '') === uid);
    const indexed = of.filter((one) => one.indexed);
    const share = (part: Handled[], whole: Handled[]) => (whole.length === 0 ? '-' : `${part.length} of ${whole.length}`);
    const cells = [
      uid === '' ? 'none that can be read' : `${names[uid] ?? ''} \`${uid}\``,
      share(indexed, of),
      share(
        indexed.filter((one) => one.retrieved),
        indexed,
      ),
      share(
        indexed.filter((one) => one.transcoded),
        indexed,
      ),
      share(
        indexed.filter((one) => one.rendered),
        indexed.filter((one) => one.hasPixels),
      ),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `# Transfer syntaxes

What the hub does with ${files.length} real files of every kind, many of them odd on purpose, by the transfer syntax that they are stored in. A test makes this table from the files and fails when it differs from what stands here
(\`tests/journeys/single-files.test.ts\`; \`UPDATE_DOCS=1\` writes it anew).

- *indexed*: found by search. The others are in the quarantine with their reason: cut short, no DICOM, or without the UIDs of study and series. (The one file in
  High-Throughput JPEG 2000 has none either: it was given some.)
- *retrieved*: answered by WADO-RS to who takes any transfer syntax: as stored, save for implicit VR and big endian, which web services may not use.
- *transcoded*: answered in Explicit VR Little Endian, with the pixels decoded.
- *rendered*: of the objects that have pixels, those that are answered as pictures.

| transfer syntax | indexed | retrieved | transcoded | rendered |
|---|---|---|---|---|
${rows.join('\n')}

The pixels of all these codings are decoded, and those of \`1.2.840.10008.1.2.1.98\`, \`1.2.840.10008.1.2.4.201\` and \`1.2.840.10008.1.2.4.202\`, which no file here has. Not decoded, and answered as they are stored: video (MPEG-2, MPEG-4, HEVC), JPIP, multi-component JPEG 2000, JPEG XL, and JPEG of 12 bits in colour.
`;
}
