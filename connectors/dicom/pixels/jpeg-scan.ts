import type { BitReader, HuffmanTable } from './jpeg-entropy.js';

/** One scan of one component of DCT coefficients, sequential or progressive (ISO 10918-1 Annexes F.2 and G.2). */
export interface Scan {
  dc: HuffmanTable | undefined;
  ac: HuffmanTable | undefined;
  /** First and last coefficient of the band in zigzag order. */
  from: number;
  to: number;
  /** Successive approximation: bit position of the scan before and of this one. */
  high: number;
  low: number;
  progressive: boolean;
  blocks: number;
  /** Blocks between restart markers, 0 for none. */
  restartInterval: number;
}

/** Adds what one scan says to the coefficients: 64 a block, in zigzag order. */
export function decodeScan(reader: BitReader, scan: Scan, coefficients: Int32Array): void {
  const state = { previous: 0, endOfBand: 0 };
  for (let n = 0; n < scan.blocks; n++) {
    if (scan.restartInterval > 0 && n > 0 && n % scan.restartInterval === 0) {
      reader.restart();
      Object.assign(state, { previous: 0, endOfBand: 0 });
    }
    const block = coefficients.subarray(n * 64, n * 64 + 64);
    if (!scan.progressive) decodeSequential(reader, scan, block, state);
    else if (scan.from === 0) decodeDc(reader, scan, block, state);
    else if (scan.high === 0) decodeBand(reader, scan, block, state);
    else refineBand(reader, scan, block, state);
  }
}

type State = { previous: number; endOfBand: number };

function decodeSequential(reader: BitReader, { dc, ac }: Scan, block: Int32Array, state: State): void {
  state.previous += reader.receiveSigned(reader.symbol(dc!));
  block[0] = state.previous;
  for (let k = 1; k < 64; k++) {
    const symbol = reader.symbol(ac!);
    const [run, size] = [symbol >> 4, symbol & 15];
    if (size === 0 && run < 15) return;
    k += run;
    if (size > 0) block[k] = reader.receiveSigned(size);
  }
}

/** First DC scan, or one more bit of it (G.1.2.1). */
function decodeDc(reader: BitReader, { dc, high, low }: Scan, block: Int32Array, state: State): void {
  if (high > 0) {
    block[0]! |= reader.bit() << low;
    return;
  }
  state.previous += reader.receiveSigned(reader.symbol(dc!));
  block[0] = state.previous << low;
}

/** First scan of a band of AC coefficients (G.1.2.2). */
function decodeBand(reader: BitReader, { ac, from, to, low }: Scan, block: Int32Array, state: State): void {
  if (state.endOfBand > 0) {
    state.endOfBand--;
    return;
  }
  for (let k = from; k <= to; k++) {
    const symbol = reader.symbol(ac!);
    const [run, size] = [symbol >> 4, symbol & 15];
    if (size === 0 && run < 15) {
      state.endOfBand = (1 << run) + reader.receive(run) - 1;
      return;
    }
    k += run;
    if (size > 0) block[k] = reader.receiveSigned(size) * (1 << low);
  }
}

/** One more bit of a band: of the coefficients that are not zero, and of new ones among them (G.1.2.3). */
function refineBand(reader: BitReader, { ac, from, to, low }: Scan, block: Int32Array, state: State): void {
  const step = 1 << low;
  let k = from;
  while (state.endOfBand === 0 && k <= to) {
    const symbol = reader.symbol(ac!);
    const [size, run] = [symbol & 15, symbol >> 4];
    if (size === 0 && run < 15) {
      state.endOfBand = (1 << run) + reader.receive(run);
      break;
    }
    const value = size === 0 ? 0 : reader.bit() ? step : -step;
    k = refineUntil(reader, block, k, to, run, step);
    if (value !== 0 && k <= to) block[k] = value;
    k++;
  }
  if (state.endOfBand === 0) return;
  refineUntil(reader, block, k, to, 64, step);
  state.endOfBand--;
}

/** Refines the coefficients on the way over `zeros` zero ones; returns where the next zero one is. */
function refineUntil(reader: BitReader, block: Int32Array, start: number, to: number, zeros: number, step: number): number {
  let left = zeros;
  for (let k = start; k <= to; k++) {
    const value = block[k]!;
    if (value === 0) {
      if (left-- === 0) return k;
    } else if (reader.bit() && (Math.abs(value) & step) === 0) block[k] = value + Math.sign(value) * step;
  }
  return to + 1;
}
