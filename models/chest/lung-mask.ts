import { type Box, crop, type Grid } from './grid.js';
import { close, type Shape } from './morphology.js';

export interface LungMask {
  /** 1 inside the closed lungs, else 0, on the cropped grid. */
  closed: Uint8Array;
  /** The part of the grid that holds the lungs and a margin; its sizes are even. */
  box: Box;
  /** Air in the lungs before closing, ml. */
  airMl: number;
}

/** Pockets of air smaller than this are no lungs, ml. */
const leastPocketMl = 100;

/**
 * The lungs, closed: air inside the body, with every gap filled that a ball of `closingMm` radius cannot leave. So a nodule at the
 * wall or the mediastinum, and vessels, lie inside. What is darker than `airBelow` Hounsfield units counts as air. Undefined where there is
 * no air inside the body.
 */
export function closedLungMask(grid: Grid, voxel: number, closingMm: number, airBelow = -500): LungMask | undefined {
  const { lungs, count } = airInsideBody(grid, leastPocketMl / (voxel ** 3 / 1000), airBelow);
  if (count === 0) return undefined;
  const reach = Math.ceil(closingMm / voxel);
  const box = evenBox(boundingBox(lungs, grid, 2), grid);
  const cropped = crop(lungs, grid, box);
  const closed = close(cropped, sizes(box), reach);
  return { closed, box, airMl: (count * voxel ** 3) / 1000 };
}

/** Pockets of air that do not touch the sides of the image and are large enough: lungs and windpipe, not the room around the patient. */
export function airInsideBody(grid: Grid, leastVoxels: number, airBelow: number): { lungs: Uint8Array; count: number } {
  const { values, planes, rows, columns } = grid;
  const [unknown, other, lung] = [0, 1, 2];
  const state = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) state[i] = values[i]! < airBelow ? unknown : other;
  const queue = new Int32Array(values.length);
  const flood = (seed: number, mark: number): number => spread(state, queue, seed, mark, unknown, grid);
  for (let plane = 0; plane < planes; plane++) {
    const base = plane * rows * columns;
    for (let column = 0; column < columns; column++) for (const row of [0, rows - 1]) flood(base + row * columns + column, other);
    for (let row = 0; row < rows; row++) for (const column of [0, columns - 1]) flood(base + row * columns + column, other);
  }
  let count = 0;
  for (let i = 0; i < state.length; i++) {
    if (state[i] !== unknown) continue;
    const size = flood(i, lung);
    if (size >= leastVoxels) count += size;
    else for (let j = 0; j < size; j++) state[queue[j]!] = other;
  }
  for (let i = 0; i < state.length; i++) state[i] = state[i] === lung ? 1 : 0;
  return { lungs: state, count };
}

/** Marks everything that hangs together with the seed over faces; the queue holds it afterwards. Returns how many voxels. */
function spread(
  state: Uint8Array,
  queue: Int32Array,
  seed: number,
  mark: number,
  from: number,
  { planes, rows, columns }: Grid,
): number {
  if (state[seed] !== from) return 0;
  const plane = rows * columns;
  let [head, tail] = [0, 0];
  const visit = (at: number): void => {
    if (state[at] !== from) return;
    state[at] = mark;
    queue[tail++] = at;
  };
  visit(seed);
  while (head < tail) {
    const at = queue[head++]!;
    const column = at % columns;
    const row = ((at - column) / columns) % rows;
    const slice = Math.floor(at / plane);
    if (column > 0) visit(at - 1);
    if (column < columns - 1) visit(at + 1);
    if (row > 0) visit(at - columns);
    if (row < rows - 1) visit(at + columns);
    if (slice > 0) visit(at - plane);
    if (slice < planes - 1) visit(at + plane);
  }
  return tail;
}

function boundingBox(mask: Uint8Array, { planes, rows, columns }: Grid, margin: number): Box {
  const [low, high] = [
    [planes, rows, columns],
    [0, 0, 0],
  ];
  for (let plane = 0, at = 0; plane < planes; plane++) {
    for (let row = 0; row < rows; row++, at += columns) {
      const first = mask.subarray(at, at + columns).indexOf(1);
      if (first < 0) continue;
      const last = mask.subarray(at, at + columns).lastIndexOf(1);
      [plane, row, first].forEach((value, axis) => {
        low[axis] = Math.min(low[axis]!, value);
      });
      [plane, row, last].forEach((value, axis) => {
        high[axis] = Math.max(high[axis]!, value);
      });
    }
  }
  const limits = [planes, rows, columns];
  return {
    low: low.map((value) => Math.max(0, value - margin)) as Box['low'],
    high: high.map((value, axis) => Math.min(limits[axis]! - 1, value + margin)) as Box['high'],
  };
}

/** The graph halves the grid, so an odd last plane, row or column is taken in or left out. */
function evenBox({ low, high }: Box, { planes, rows, columns }: Grid): Box {
  const limits = [planes, rows, columns];
  const even = high.map((value, axis) =>
    (value - low[axis]!) % 2 === 1 ? value : value + 1 < limits[axis]! ? value + 1 : value - 1,
  );
  return { low, high: even as Box['high'] };
}

export const sizes = ({ low, high }: Box): Shape => [high[0] - low[0] + 1, high[1] - low[1] + 1, high[2] - low[2] + 1];
