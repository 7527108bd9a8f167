import { noiseTile, noiseTileSize, randomStream } from './random.js';
import type { GreyFrame } from './encode-frame.js';

export interface MammogramRequest {
  /** Default 1280. */
  rows?: number;
  /** Which edge the chest wall is at: that of a right breast is on the right. Default `right`. */
  side?: 'right' | 'left';
  /** A dense spiculated mass, its middle as shares of the breast's width and height; none by default. */
  mass?: { x: number; y: number; radius: number };
  /** Default 1. */
  seed?: number;
}

/** Draws an oblique mammogram as a digital system shows it, 12 bits, air 0: half an ellipse of fat with a cone of glandular tissue and the muscle. */
export function drawMammogram({ rows = 1280, side = 'right', mass, seed = 1 }: MammogramRequest = {}): GreyFrame {
  const columns = Math.round(rows * 0.78);
  const pixels = new Uint16Array(rows * columns);
  const random = randomStream(seed);
  const [cloud, grain] = [noiseTile(random, 1, 60), noiseTile(random, 1, 1)];
  const [wide, high] = [columns * 0.55, rows * 0.42];
  const at = (tile: Float32Array, x: number, y: number) =>
    tile[(Math.floor(y) % noiseTileSize) * noiseTileSize + (Math.floor(x) % noiseTileSize)]!;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [fromWall, fromTop] = [side === 'right' ? columns - 1 - column : column, row];
      const [x, y] = [fromWall / wide, (fromTop - rows * 0.52) / high];
      const depth = 1 - Math.hypot(x, y);
      if (depth < 0) continue;
      const skin = Math.min(1, depth * 12);
      const glandular = Math.max(0, 1 - Math.hypot((x - 0.45) / 0.4, y / 0.5));
      const isMuscle = fromWall < (rows * 0.45 - fromTop) * 0.35;
      const off = mass ? Math.hypot(fromWall - mass.x * wide, fromTop - rows * 0.52 - mass.y * high) : Number.POSITIVE_INFINITY;
      const dense = mass && off < mass.radius * 3 ? Math.exp(-((off / mass.radius) ** 4)) : 0;
      const tissue =
        900 + 900 * glandular * (1 + 0.35 * at(cloud, fromWall / 2, fromTop / 2)) + 1500 * dense + (isMuscle ? 900 : 0);
      pixels[row * columns + column] = Math.max(1, Math.min(4095, tissue * skin + 25 * at(grain, fromWall, fromTop)));
    }
  }
  return { pixels, rows, columns, bitsStored: 12 };
}
