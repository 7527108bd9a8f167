/** Operations on masks of one plane: 1 inside, 0 outside, row by row. */
export interface PlaneSize {
  rows: number;
  columns: number;
}

// Called for every pixel.
const { min } = Math;
const diagonal = Math.SQRT2;

/** Distance from the nearest 0, in pixels, by steps of 1 and the root of 2 (two passes). What lies beyond the image is as `beyond` says. */
export function depthOf(mask: Uint8Array, { rows, columns }: PlaneSize, beyond: 0 | 1 = 0): Float32Array {
  const far = 1e6;
  const width = columns + 2;
  const wide = new Float32Array((rows + 2) * width).fill(beyond ? far : 0);
  for (let row = 0; row < rows; row++) {
    const to = (row + 1) * width + 1;
    for (let column = 0; column < columns; column++) wide[to + column] = mask[row * columns + column] ? far : 0;
  }
  const pass = (i: number, way: 1 | -1) => {
    const here = wide[i]!;
    if (here === 0) return;
    const straight = min(wide[i - way]!, wide[i - way * width]!) + 1;
    const slanted = min(wide[i - way * width - 1]!, wide[i - way * width + 1]!) + diagonal;
    wide[i] = min(here, straight, slanted);
  };
  const [first, last] = [width + 1, (rows + 1) * width - 2];
  for (let i = first; i <= last; i++) if (i % width > 0 && i % width < width - 1) pass(i, 1);
  for (let i = last; i >= first; i--) if (i % width > 0 && i % width < width - 1) pass(i, -1);
  const depth = new Float32Array(mask.length);
  for (let row = 0; row < rows; row++)
    depth.set(wide.subarray((row + 1) * width + 1, (row + 1) * width + 1 + columns), row * columns);
  return depth;
}

/** Where a test holds. */
export function maskOf<T extends Float32Array | Uint8Array>(values: T, test: (value: number, i: number) => boolean): Uint8Array {
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < mask.length; i++) if (test(values[i]!, i)) mask[i] = 1;
  return mask;
}

const inverted = (mask: Uint8Array): Uint8Array => maskOf(mask, (value) => value === 0);

const eroded = (mask: Uint8Array, radius: number, size: PlaneSize): Uint8Array =>
  maskOf(depthOf(mask, size), (depth) => depth > radius);

export const widened = (mask: Uint8Array, radius: number, size: PlaneSize): Uint8Array =>
  maskOf(depthOf(inverted(mask), size, 1), (depth) => depth <= radius);

/** With every gap filled that is at most twice the radius wide. The image must have a margin of the radius. */
export const closed = (mask: Uint8Array, radius: number, size: PlaneSize): Uint8Array =>
  maskOf(depthOf(widened(mask, radius, size), size, 1), (depth, i) => mask[i] === 1 || depth > radius);

/** What of the mask hangs together over edges: a list of pixels for each part. */
export function partsOf(mask: Uint8Array, { rows, columns }: PlaneSize): number[][] {
  const left = mask.slice();
  const parts: number[][] = [];
  for (let start = 0; start < left.length; start++) {
    if (!left[start]) continue;
    const part = [start];
    left[start] = 0;
    const take = (i: number) => {
      if (!left[i]) return;
      left[i] = 0;
      part.push(i);
    };
    for (let next = 0; next < part.length; next++) {
      const i = part[next]!;
      const column = i % columns;
      if (column > 0) take(i - 1);
      if (column < columns - 1) take(i + 1);
      if (i >= columns) take(i - columns);
      if (i < (rows - 1) * columns) take(i + columns);
    }
    parts.push(part);
  }
  return parts;
}

/** The parts that stay whole when passages narrower than twice the radius are cut, each with its edge given back: an opening. */
export function separateParts(mask: Uint8Array, radius: number, size: PlaneSize): number[][] {
  const { rows, columns } = size;
  const owner = new Int32Array(mask.length);
  const parts = partsOf(eroded(mask, radius, size), size);
  parts.forEach((part, i) => {
    for (const pixel of part) owner[pixel] = i + 1;
  });
  let shells = parts;
  for (let step = 0; step <= Math.ceil(radius); step++) {
    shells = shells.map((shell, i) => {
      const next: number[] = [];
      const take = (pixel: number) => {
        if (!mask[pixel] || owner[pixel]) return;
        owner[pixel] = i + 1;
        next.push(pixel);
      };
      for (const pixel of shell) {
        const column = pixel % columns;
        if (column > 0) take(pixel - 1);
        if (column < columns - 1) take(pixel + 1);
        if (pixel >= columns) take(pixel - columns);
        if (pixel < (rows - 1) * columns) take(pixel + columns);
      }
      return next;
    });
    shells.forEach((shell, i) => {
      for (const pixel of shell) parts[i]!.push(pixel);
    });
  }
  return parts;
}

/** Everything that a border of the mask shuts in, and the mask. */
export function filled(mask: Uint8Array, size: PlaneSize): Uint8Array {
  const { rows, columns } = size;
  const out = new Uint8Array(mask.length).fill(1);
  for (const part of partsOf(inverted(mask), size)) {
    const open = part.some((i) => i < columns || i >= (rows - 1) * columns || i % columns === 0 || i % columns === columns - 1);
    if (open) for (const i of part) out[i] = 0;
  }
  return out;
}
