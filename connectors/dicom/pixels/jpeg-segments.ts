import { MOST_PIXELS } from './image-pixel.js';
import { buildHuffmanTable, type HuffmanTable } from './jpeg-entropy.js';

/** Marker segments of a JPEG stream (ISO 10918-1 Annex B). */
export interface Segment {
  marker: number;
  data: Uint8Array;
  /** Everything behind the segment: the entropy-coded data after a scan header. */
  rest: Uint8Array;
}

/** Frame header (B.2.2). */
export interface FrameHeader {
  /** 0 to 3: baseline, extended sequential, progressive, lossless. */
  process: number;
  precision: number;
  rows: number;
  columns: number;
  /** In the order of the samples of a pixel. */
  components: { id: number; quantization: number }[];
}

/** The segments in order, up to the end of the image. */
export function* segments(bytes: Uint8Array): Generator<Segment> {
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1]!;
    const restart = marker === 0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd8);
    if (bytes[at] !== 0xff || restart) {
      at++;
      continue;
    }
    if (marker === 0xd9) return;
    const end = at + 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
    yield { marker, data: bytes.subarray(at + 4, end), rest: bytes.subarray(end) };
    at = end;
  }
}

export const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xc3;

/** Throws on an image of no size, of more than three components, or with components that are sampled differently. */
export function readFrameHeader(data: Uint8Array, marker: number): FrameHeader {
  const [precision, rows, columns] = [data[0]!, data[1]! * 256 + data[2]!, data[3]! * 256 + data[4]!];
  const components = Array.from({ length: data[5]! }, (_, i) => data.subarray(6 + 3 * i, 9 + 3 * i));
  const isSampledAlike = components.length === 1 || components.every((component) => component[1] === 0x11);
  const isImage = rows > 0 && columns > 0 && rows * columns <= MOST_PIXELS && precision >= 2 && precision <= 16;
  if (!isImage || ![1, 3].includes(components.length) || !isSampledAlike) throw new Error('No image that is supported');
  return {
    process: marker & 3,
    precision,
    rows,
    columns,
    components: components.map((component) => ({ id: component[0]!, quantization: component[2]! })),
  };
}

/** Adds the tables of one DHT segment (B.2.4.2), by class and identifier: 0 to 3 for DC, 16 to 19 for AC. */
export function readHuffmanTables(data: Uint8Array, tables: Record<number, HuffmanTable>): void {
  for (let at = 0; at + 17 <= data.length; ) {
    const counts = data.subarray(at + 1, at + 17);
    const total = counts.reduce((sum, count) => sum + count, 0);
    tables[data[at]!] = buildHuffmanTable(counts, data.subarray(at + 17, at + 17 + total));
    at += 17 + total;
  }
}
