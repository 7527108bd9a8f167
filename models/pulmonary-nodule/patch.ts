import type { CtVolume } from '../dicom/ct-volume.js';

/** A place in a volume, in its own voxels: plane, row, column; the middle of the first is 0. */
export type Place = readonly [plane: number, row: number, column: number];

/** Pixels of the scans that the network was trained on, mm (LIDC-IDRI: 0.461 to 0.977). Wider or narrower ones are brought to a usual one. */
const [narrowest, usual, widest] = [0.46, 0.7, 0.98];

/**
 * The square of `size` pixels around a place on its own plane, in Hounsfield units, as the network knows it: rows y - size / 2 to y + size / 2 - 1 around the
 * pixel y of the place, columns alike; beyond the edge the last pixel goes on.
 */
export function patchAt(volume: CtVolume, [plane, row, column]: Place, size: number): Float32Array {
  const { rows, columns, spacing } = volume;
  const at = clamp(Math.round(plane), volume.slices - 1);
  const image = volume.hounsfield.subarray(at * rows * columns, (at + 1) * rows * columns);
  const onRows = pixels(Math.round(row), size, spacing.y, rows);
  const onColumns = pixels(Math.round(column), size, spacing.x, columns);
  return Float32Array.from({ length: size * size }, (_, i) =>
    between(image, volume, onRows[Math.floor(i / size)]!, onColumns[i % size]!),
  );
}

/** Where the pixels of the patch lie in the image along one axis of it. */
function pixels(middle: number, size: number, spacing: number, count: number): number[] {
  const step = spacing >= narrowest && spacing <= widest ? 1 : usual / spacing;
  return Array.from({ length: size }, (_, i) => clamp(middle + (i - size / 2) * step, count - 1));
}

const clamp = (value: number, most: number): number => Math.min(most, Math.max(0, value));

/** The image between its pixels, by straight lines along rows and columns. */
function between(image: Int16Array, { rows, columns }: CtVolume, row: number, column: number): number {
  const [top, left] = [Math.floor(row), Math.floor(column)];
  const [bottom, right] = [Math.min(top + 1, rows - 1), Math.min(left + 1, columns - 1)];
  const [down, along] = [row - top, column - left];
  const upper = image[top * columns + left]! * (1 - along) + image[top * columns + right]! * along;
  const lower = image[bottom * columns + left]! * (1 - along) + image[bottom * columns + right]! * along;
  return upper * (1 - down) + lower * down;
}
