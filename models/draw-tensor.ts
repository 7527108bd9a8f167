import type { DrawnTensor } from './manifest.js';
import type { TensorData } from './pipeline.js';

/** Fills a tensor with its background and paints the balls into its last three axes. */
export function drawTensor({ shape, background, balls }: DrawnTensor): TensorData {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(background);
  const [, rows = 1, columns = 1] = shape.slice(-3);
  for (let i = 0; i < data.length; i++) {
    const at = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
    for (const { centre, radius, value } of balls) {
      if (Math.hypot(...at.map((position, axis) => position - centre[axis]!)) < radius) data[i] = value;
    }
  }
  return { data, shape };
}
