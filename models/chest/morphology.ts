/** Masks of voxels grown and shrunk by balls. */

export type Shape = [planes: number, rows: number, columns: number];

/**
 * Morphological closing with a ball: dilation, then erosion. Beyond the mask there is nothing: without that margin the end of the scan
 * would not erode, and tissue below the lungs would count as lung.
 */
export function close(mask: Uint8Array, shape: Shape, radius: number): Uint8Array {
  const wide = shape.map((size) => size + 2 * radius) as Shape;
  const padded = new Uint8Array(wide[0] * wide[1] * wide[2]);
  eachLine(shape, wide, radius, (from, to) => padded.set(mask.subarray(from, from + shape[2]), to));
  const outside = within(padded, wide, radius).map((value) => 1 - value);
  const eroded = within(outside, wide, radius);
  const closed = mask.slice();
  eachLine(shape, wide, radius, (from, to) => {
    for (let i = 0; i < shape[2]; i++) if (eroded[to + i] === 0) closed[from + i] = 1;
  });
  return closed;
}

/** Morphological opening: what a ball of `radius` voxels does not fit into is gone. Beyond the mask everything is taken to go on. */
export function open(mask: Uint8Array, shape: Shape, radius: number): Uint8Array {
  const outside = within(
    mask.map((value) => 1 - value),
    shape,
    radius,
  );
  return within(
    outside.map((value) => 1 - value),
    shape,
    radius,
  );
}

/** Visits every row of columns with its place in the grid, and in the grid with a margin all round. */
function eachLine([planes, rows, columns]: Shape, wide: Shape, margin: number, visit: (from: number, to: number) => void): void {
  for (let plane = 0; plane < planes; plane++) {
    for (let row = 0; row < rows; row++) {
      visit((plane * rows + row) * columns, ((plane + margin) * wide[1] + row + margin) * wide[2] + margin);
    }
  }
}

/** 1 where a voxel of the mask lies within `radius` voxels: squared distances, one axis after the other. */
export function within(mask: Uint8Array, [planes, rows, columns]: Shape, radius: number): Uint8Array {
  const far = 255;
  let distances: Uint8Array<ArrayBufferLike> = mask.map((value) => (value === 1 ? 0 : far));
  for (const [count, step] of [
    [columns, 1],
    [rows, columns],
    [planes, rows * columns],
  ] as const) {
    distances = nearestAlong(distances, count, step, radius, far);
  }
  return distances.map((value) => (value <= radius * radius ? 1 : 0));
}

function nearestAlong(distances: Uint8Array, count: number, step: number, radius: number, far: number): Uint8Array {
  const out = distances.slice();
  for (let offset = 1; offset <= radius; offset++) {
    const cost = offset * offset;
    const shift = offset * step;
    for (let block = 0; block < distances.length; block += count * step) {
      const end = block + count * step;
      for (let i = block; i < end - shift; i++) {
        const here = distances[i]!;
        const there = distances[i + shift]!;
        if (here === there) continue;
        if (there < far && there + cost < out[i]!) out[i] = there + cost;
        if (here < far && here + cost < out[i + shift]!) out[i + shift] = here + cost;
      }
    }
  }
  return out;
}
