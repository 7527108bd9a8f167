import type { CtVolume } from '../dicom/ct-volume.js';
import type { Manifest } from '../manifest.js';
import type { Lungs } from './lungs.js';
import { widePlanes } from './outline.js';

/**
 * Planes of the volume that show the lungs well, evenly spread from foot to head: those where the outline of the lungs holds at least
 * a given share of its largest area. The outline, not the air: ill lungs hold little. Apex and diaphragm, where the network says yes
 * too often, have small outlines.
 */
export function choosePlanes(lungs: Lungs, { slices, spacing }: CtVolume, { parameters }: Manifest): number[] {
  const wide = new Set(widePlanes(lungs, parameters['leastOutlineShare']!).map(({ index }) => index + lungs.low[0]));
  const onGrid = (slice: number) => Math.round((slice * spacing.z) / lungs.voxel);
  const showing = Array.from({ length: slices }, (_, slice) => slice).filter((slice) => wide.has(onGrid(slice)));
  return spread(showing, parameters['mostPlanes']!);
}

/** At most `most` of them, evenly, the first and the last among them. */
function spread(planes: number[], most: number): number[] {
  if (planes.length <= most) return planes;
  return Array.from({ length: most }, (_, i) => planes[Math.round((i * (planes.length - 1)) / (most - 1))]!);
}
