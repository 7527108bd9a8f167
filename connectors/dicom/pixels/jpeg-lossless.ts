import { BitReader, type HuffmanTable } from './jpeg-entropy.js';
import { type FrameHeader, isFrame, readFrameHeader, readHuffmanTables, segments } from './jpeg-segments.js';

/**
 * Decodes lossless JPEG (ISO 10918-1 Annex H, Huffman) to stored values, interleaved by pixel. Throws on anything else. Written here because
 * jpeg-lossless-decoder-js takes three times as long and got a value of a real image wrong.
 */
export function decodeJpegLossless(bytes: Uint8Array): Uint16Array {
  const tables: Record<number, HuffmanTable> = {};
  let image: Image | undefined;
  let restartInterval = 0;
  let decoded = 0;
  for (const { marker, data, rest } of segments(bytes)) {
    if (marker === 0xc4) readHuffmanTables(data, tables);
    else if (marker === 0xdd) restartInterval = data[0]! * 256 + data[1]!;
    else if (isFrame(marker)) image = startImage(readFrameHeader(data, marker));
    else if (marker === 0xda) {
      if (image?.header.process !== 3) throw new Error('Not lossless JPEG');
      const scan = readScan(data, image, tables, restartInterval);
      decodeSamples(new BitReader(rest), image, scan);
      decoded += scan.components.length;
      // Colour comes in one scan of three components or in three scans of one.
      if (decoded >= image.header.components.length) return image.samples;
    }
  }
  throw new Error('JPEG has no scan');
}

interface Image {
  header: FrameHeader;
  samples: Uint16Array;
}

interface LosslessScan {
  /** Place of each component in a pixel, and its table. */
  components: { place: number; table: HuffmanTable }[];
  /** Selection value of the predictor, 1 to 7 (table H.1). */
  predictor: number;
  /** Point transform: low bits that were dropped. */
  shift: number;
  /** In pixels; 0 for none. */
  restartInterval: number;
}

const startImage = (header: FrameHeader): Image => ({
  header,
  samples: new Uint16Array(header.rows * header.columns * header.components.length),
});

/** Scan header (B.2.3). */
function readScan(
  data: Uint8Array,
  { header }: Image,
  tables: Record<number, HuffmanTable>,
  restartInterval: number,
): LosslessScan {
  const count = data[0]!;
  const components = Array.from({ length: count }, (_, i) => {
    const place = header.components.findIndex(({ id }) => id === data[1 + 2 * i]);
    const table = tables[data[2 + 2 * i]! >> 4];
    if (place < 0 || !table) throw new Error('A scan of an unknown component');
    return { place, table };
  });
  return { components, predictor: data[1 + 2 * count]!, shift: data[3 + 2 * count]! & 15, restartInterval };
}

function decodeSamples(reader: BitReader, { header, samples: out }: Image, scan: LosslessScan): void {
  const { rows, columns, precision } = header;
  const step = header.components.length;
  const line = columns * step;
  const start = 1 << (precision - scan.shift - 1);
  for (let row = 0, pixel = 0, firstRow = 0; row < rows; row++) {
    // Prediction begins anew after a restart, which in DICOM falls on the start of a row (PS3.5 section 8.2.1).
    const restarts = scan.restartInterval > 0 && pixel > 0 && pixel % scan.restartInterval === 0;
    if (restarts) {
      reader.restart();
      firstRow = row;
    }
    for (let column = 0; column < columns; column++, pixel++) {
      for (const { place, table } of scan.components) {
        const at = pixel * step + place;
        const predicted =
          row === firstRow
            ? column === 0
              ? start
              : out[at - step]!
            : column === 0
              ? out[at - line]!
              : predict(scan.predictor, out[at - step]!, out[at - line]!, out[at - line - step]!);
        const size = reader.symbol(table);
        out[at] = predicted + (size === 16 ? 32768 : reader.receiveSigned(size));
      }
    }
  }
  if (scan.shift === 0) return;
  for (const { place } of scan.components) for (let at = place; at < out.length; at += step) out[at]! <<= scan.shift;
}

/** Table H.1, from the neighbours to the left, above, and above to the left. */
function predict(predictor: number, left: number, above: number, corner: number): number {
  switch (predictor) {
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return corner;
    case 4:
      return left + above - corner;
    case 5:
      return left + ((above - corner) >> 1);
    case 6:
      return above + ((left - corner) >> 1);
    case 7:
      return (left + above) >> 1;
    default:
      throw new Error('No such predictor');
  }
}
