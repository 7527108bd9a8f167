// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { PI, cos, imul, log, sqrt } = Math;

/** A repeatable stream of random numbers in [0, 1): the same seed gives the same phantom on every machine (mulberry32). */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = imul(state ^ (state >>> 15), state | 1);
    t ^= t + imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const between = (random: () => number, low: number, high: number): number => low + (high - low) * random();

/** Standard normal deviate (Box-Muller). */
export function gaussian(random: () => number): number {
  return sqrt(-2 * log(1 - random())) * cos(2 * PI * random());
}

export const noiseTileSize = 256;

/**
 * A square tile of Gaussian noise, `noiseTileSize` on a side, that wraps round, with the standard deviation asked for after it was
 * blurred `blurs` times: 1 looks like the grain of a CT reconstruction, 40 like the texture of an organ.
 */
export function noiseTile(random: () => number, standardDeviation: number, blurs: number): Float32Array {
  let tile = Float32Array.from({ length: noiseTileSize * noiseTileSize }, () => gaussian(random));
  for (let i = 0; i < blurs; i++) tile = blurWrapped(tile);
  const measured = sqrt(tile.reduce((sum, value) => sum + value * value, 0) / tile.length);
  return tile.map((value) => (value / measured) * standardDeviation);
}

function blurWrapped(tile: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const size = noiseTileSize;
  const rows = tile.map((v, i) => {
    const row = i - (i % size);
    return (tile[row + ((i + 1) % size)]! + tile[row + ((i + size - 1) % size)]! + 2 * v) / 4;
  });
  return rows.map((v, i) => (rows[(i + size) % rows.length]! + rows[(i - size + rows.length) % rows.length]! + 2 * v) / 4);
}
