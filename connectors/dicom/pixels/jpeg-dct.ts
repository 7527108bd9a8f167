import { BitReader, type HuffmanTable } from './jpeg-entropy.js';
import { decodeScan, type Scan } from './jpeg-scan.js';
import { type FrameHeader, isFrame, readFrameHeader, readHuffmanTables, segments } from './jpeg-segments.js';

/**
 * Grey JPEG of the DCT processes with up to 12 bits (ISO 10918-1: extended sequential, spectral selection, full progression), which
 * the wasm decoder of 8-bit JPEG does not read.
 */

/** Decodes to stored values, row by row. Throws on anything but one component of DCT-coded samples. */
export function decodeJpegDct(bytes: Uint8Array): Uint16Array {
  const quantization: Uint16Array[] = [];
  const tables: Record<number, HuffmanTable> = {};
  let frame: Frame | undefined;
  let restartInterval = 0;
  for (const { marker, data, rest } of segments(bytes)) {
    if (marker === 0xdb) readQuantization(data, quantization);
    else if (marker === 0xc4) readHuffmanTables(data, tables);
    else if (marker === 0xdd) restartInterval = data[0]! * 256 + data[1]!;
    else if (isFrame(marker)) frame = readFrame(data, marker);
    else if (marker === 0xda && frame)
      decodeScan(new BitReader(rest), readScan(data, frame, tables, restartInterval), frame.coefficients);
  }
  if (!frame) throw new Error('JPEG has no frame');
  return reconstruct(frame, quantization[frame.components[0]!.quantization]!);
}

interface Frame extends FrameHeader {
  blocksAcross: number;
  blocks: number;
  coefficients: Int32Array;
}

function readFrame(data: Uint8Array, marker: number): Frame {
  const header = readFrameHeader(data, marker);
  if (header.components.length !== 1) throw new Error('Only one component is supported');
  const blocksAcross = Math.ceil(header.columns / 8);
  const blocks = blocksAcross * Math.ceil(header.rows / 8);
  return { ...header, blocksAcross, blocks, coefficients: new Int32Array(blocks * 64) };
}

function readQuantization(data: Uint8Array, quantization: Uint16Array[]): void {
  for (let at = 0; at < data.length; ) {
    const wide = data[at]! >> 4 === 1;
    const table = new Uint16Array(64);
    quantization[data[at++]! & 15] = table;
    for (let i = 0; i < 64; i++, at += wide ? 2 : 1) table[i] = wide ? data[at]! * 256 + data[at + 1]! : data[at]!;
  }
}

function readScan(data: Uint8Array, frame: Frame, tables: Record<number, HuffmanTable>, restartInterval: number): Scan {
  const selector = data[2]!;
  return {
    dc: tables[selector >> 4],
    ac: tables[16 + (selector & 15)],
    from: data[3]!,
    to: data[4]!,
    high: data[5]! >> 4,
    low: data[5]! & 15,
    progressive: frame.process === 2,
    blocks: frame.blocks,
    restartInterval,
  };
}

/** cosines[x * 8 + u] of the inverse DCT (A.3.3). */
const cosines = Float64Array.from({ length: 64 }, (_, i) => {
  const [x, u] = [i >> 3, i & 7];
  return (u === 0 ? Math.SQRT1_2 : 1) * 0.5 * Math.cos(((2 * x + 1) * u * Math.PI) / 16);
});

function reconstruct(frame: Frame, quantization: Uint16Array): Uint16Array {
  const { columns, rows, blocks, blocksAcross, precision, coefficients } = frame;
  const out = new Uint16Array(columns * rows);
  const largest = (1 << precision) - 1;
  const block = new Float64Array(64);
  for (let n = 0; n < blocks; n++) {
    for (let i = 0; i < 64; i++) block[zigzag[i]!] = coefficients[n * 64 + i]! * quantization[i]!;
    inverseDct(block);
    const [top, left] = [Math.floor(n / blocksAcross) * 8, (n % blocksAcross) * 8];
    for (let i = 0; i < 64; i++) {
      const [row, column] = [top + (i >> 3), left + (i & 7)];
      if (row >= rows || column >= columns) continue;
      out[row * columns + column] = Math.min(largest, Math.max(0, Math.round(block[i]!) + (1 << (precision - 1))));
    }
  }
  return out;
}

const half = new Float64Array(64);

function inverseDct(block: Float64Array): void {
  for (let row = 0; row < 64; row += 8) {
    for (let x = 0; x < 8; x++) {
      let sum = 0;
      for (let u = 0; u < 8; u++) sum += cosines[x * 8 + u]! * block[row + u]!;
      half[row + x] = sum;
    }
  }
  for (let column = 0; column < 8; column++) {
    for (let y = 0; y < 8; y++) {
      let sum = 0;
      for (let v = 0; v < 8; v++) sum += cosines[y * 8 + v]! * half[v * 8 + column]!;
      block[y * 8 + column] = sum;
    }
  }
}

/** Position in the block of the i-th coefficient (figure A.6). */
const zigzag = Uint8Array.from({ length: 64 }, (_, i) => i).sort((a, b) => {
  const [da, db] = [(a >> 3) + (a & 7), (b >> 3) + (b & 7)];
  return da - db || (da % 2 ? (a >> 3) - (b >> 3) : (b >> 3) - (a >> 3));
});
