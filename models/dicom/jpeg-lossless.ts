import { BitReader, type HuffmanTable } from './jpeg-entropy.js';
import { type FrameHeader, isFrame, readFrameHeader, readHuffmanTables, segments } from './jpeg-segments.js';

/** Decodes grey lossless JPEG (ISO 10918-1 Annex H, Huffman) to stored values, row by row. Throws on anything else. */
export function decodeJpegLossless(bytes: Uint8Array): Uint16Array {
  const tables: Record<number, HuffmanTable> = {};
  let frame: FrameHeader | undefined;
  let restartInterval = 0;
  for (const { marker, data, rest } of segments(bytes)) {
    if (marker === 0xc4) readHuffmanTables(data, tables);
    else if (marker === 0xdd) restartInterval = data[0]! * 256 + data[1]!;
    else if (isFrame(marker)) frame = readFrameHeader(data, marker);
    else if (marker === 0xda) {
      if (frame?.process !== 3) throw new Error('Not lossless JPEG');
      const scan = { table: tables[data[2]! >> 4]!, predictor: data[3]!, shift: data[5]! & 15, restartInterval };
      return decodeSamples(new BitReader(rest), frame, scan);
    }
  }
  throw new Error('JPEG has no scan');
}

interface LosslessScan {
  table: HuffmanTable;
  /** Selection value of the predictor, 1 to 7 (table H.1). */
  predictor: number;
  /** Point transform: low bits that were dropped. */
  shift: number;
  restartInterval: number;
}

function decodeSamples(reader: BitReader, { rows, columns, precision }: FrameHeader, scan: LosslessScan): Uint16Array {
  const out = new Uint16Array(rows * columns);
  const start = 1 << (precision - scan.shift - 1);
  for (let row = 0, at = 0, firstRow = 0; row < rows; row++) {
    // Prediction begins anew after a restart, which in DICOM falls on the start of a row (PS3.5 section 8.2.1).
    const restarts = scan.restartInterval > 0 && at > 0 && at % scan.restartInterval === 0;
    if (restarts) {
      reader.restart();
      firstRow = row;
    }
    for (let column = 0; column < columns; column++, at++) {
      const predicted =
        row === firstRow
          ? column === 0
            ? start
            : out[at - 1]!
          : column === 0
            ? out[at - columns]!
            : predict(scan.predictor, out[at - 1]!, out[at - columns]!, out[at - columns - 1]!);
      const size = reader.symbol(scan.table);
      out[at] = predicted + (size === 16 ? 32768 : reader.receiveSigned(size));
    }
  }
  return scan.shift === 0 ? out : out.map((value) => value << scan.shift);
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
