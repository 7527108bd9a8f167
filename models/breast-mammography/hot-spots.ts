import type { PixelBox } from '../finding.js';

/** Evidence by place: even cells over a box, row by row from the top. */
export interface Evidence {
  values: Float32Array;
  rows: number;
  columns: number;
  box: PixelBox;
}

export interface HotSpot {
  /** Of the hottest cell. */
  heat: number;
  box: PixelBox;
}

/**
 * Where the evidence is: cells of at least `leastHeat` that lie edge to edge, the hottest group first. Each box is cut at the edges of the
 * picture.
 */
export function hotSpots(
  evidence: Evidence,
  picture: { rows: number; columns: number },
  { leastHeat, most }: { leastHeat: number; most: number },
): HotSpot[] {
  const left = Float32Array.from(evidence.values);
  const spots: HotSpot[] = [];
  while (spots.length < most) {
    const hottest = left.reduce((best, value, i) => (value > left[best]! ? i : best), 0);
    const heat = left[hottest]!;
    if (!(heat > 0 && heat >= leastHeat)) break;
    const box = cut(boxOf(takeRegion(left, evidence, hottest, leastHeat), evidence), picture);
    if (box) spots.push({ heat, box });
  }
  return spots;
}

/** The cells from `start` on that are hot enough; they are taken out. */
function takeRegion(values: Float32Array, { rows, columns }: Evidence, start: number, least: number): number[] {
  const cells = [start];
  values[start] = 0;
  for (const cell of cells) {
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    const neighbours = [
      ...(row > 0 ? [cell - columns] : []),
      ...(row < rows - 1 ? [cell + columns] : []),
      ...(column > 0 ? [cell - 1] : []),
      ...(column < columns - 1 ? [cell + 1] : []),
    ];
    for (const neighbour of neighbours) {
      if (values[neighbour]! < least) continue;
      values[neighbour] = 0;
      cells.push(neighbour);
    }
  }
  return cells;
}

function boxOf(cells: number[], { rows, columns, box }: Evidence): PixelBox {
  const [height, width] = [box.height / rows, box.width / columns];
  const down = cells.map((cell) => Math.floor(cell / columns));
  const across = cells.map((cell) => cell % columns);
  const [top, first] = [Math.min(...down), Math.min(...across)];
  return {
    x: box.x + first * width,
    y: box.y + top * height,
    width: (Math.max(...across) - first + 1) * width,
    height: (Math.max(...down) - top + 1) * height,
  };
}

/** Undefined where nothing of the box lies within the picture. */
function cut({ x, y, width, height }: PixelBox, { rows, columns }: { rows: number; columns: number }): PixelBox | undefined {
  const [right, bottom] = [Math.min(x + width, columns), Math.min(y + height, rows)];
  const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
  return right > left && bottom > top ? { x: left, y: top, width: right - left, height: bottom - top } : undefined;
}
