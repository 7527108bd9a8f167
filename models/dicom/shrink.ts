import type { Picture } from '../../connectors/dicom/pixels/presentation.js';

/** A picture whose pixels are the means of squares of `factor` pixels on a side; rows and columns that fill no square are left out. */
export interface Shrunk extends Picture {
  factor: number;
}

/** Makes a picture as small as it can be with its longer side at least `leastLongSide`. A picture that is smaller than twice that stays as it is. */
export function shrink(picture: Picture, leastLongSide: number): Shrunk {
  const { pixels, channels } = picture;
  const factor = Math.max(1, Math.floor(Math.max(picture.rows, picture.columns) / leastLongSide));
  if (factor === 1) return { ...picture, factor };
  const [rows, columns] = [Math.floor(picture.rows / factor), Math.floor(picture.columns / factor)];
  const sums = new Uint32Array(columns * channels);
  const out = new Uint8Array(rows * columns * channels);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (let below = 0; below < factor; below++) {
      const start = (row * factor + below) * picture.columns * channels;
      for (let x = 0; x < columns * factor; x++) {
        const to = Math.floor(x / factor) * channels;
        for (let c = 0; c < channels; c++) sums[to + c]! += pixels[start + x * channels + c]!;
      }
    }
    for (let i = 0; i < sums.length; i++) out[row * sums.length + i] = Math.round(sums[i]! / factor ** 2);
  }
  return { pixels: out, rows, columns, channels, factor };
}
