import { depthUnderTable, inCavity } from './head-anatomy.js';
import { between } from './random.js';
import type { Vector } from './volume.js';

/** Fresh blood: an ellipsoid in the head's own space, as far as it lies in the cranial cavity. */
export interface Haemorrhage {
  centreMm: Vector;
  /** Half axes, mm. */
  halfAxesMm: Vector;
  /** Default 68. */
  hounsfield?: number;
  /** Only the layer of this thickness under the inner table: between skull and brain. */
  layerMm?: number;
}

/** Whether a point of the head's own space is full of this blood. */
export function inHaemorrhage(blood: Haemorrhage, x: number, y: number, z: number): boolean {
  const [cx, cy, cz] = blood.centreMm;
  const [a, b, c] = blood.halfAxesMm;
  if (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2 > 1 || !inCavity(x, y, z)) return false;
  return blood.layerMm === undefined || depthUnderTable(x, y, z) < blood.layerMm;
}

const sites: { name: string; centre: Vector; reach: number }[] = [
  { name: 'deep', centre: [25, 0, 8], reach: 5 },
  { name: 'thalamus', centre: [14, 14, 4], reach: 2 },
  { name: 'lobe', centre: [38, -20, 25], reach: 12 },
  { name: 'lobe', centre: [32, 38, 22], reach: 12 },
  { name: 'cerebellum', centre: [24, 48, -38], reach: 4 },
];

export interface PlantedHaemorrhage extends Haemorrhage {
  /** Where: `deep`, `thalamus`, `lobe`, `cerebellum`, `subdural`. */
  place: string;
}

/** Blood of about this volume (ml) at a place that the seed chooses, on a side that it chooses; one in six lies under the skull. */
export function randomHaemorrhage(ml: number, random: () => number): PlantedHaemorrhage {
  const side = random() < 0.5 ? -1 : 1;
  const hounsfield = between(random, 56, 78);
  if (random() < 1 / 6 && ml >= 5) return subdural(ml, side, hounsfield, random);
  const radius = Math.cbrt((3000 * ml) / (4 * Math.PI));
  // What is large has no room in the thalamus or the cerebellum.
  const fitting = sites.filter(({ name }) => radius < 14 || name === 'lobe' || name === 'deep');
  const { name, centre, reach } = fitting[Math.floor(random() * fitting.length)]!;
  const [u, v] = [between(random, 0.8, 1.25), between(random, 0.8, 1.25)];
  const halfAxesMm: Vector = [(radius * u) / Math.sqrt(u * v), (radius * v) / Math.sqrt(u * v), radius];
  const at = centre.map((mm) => mm + between(random, -reach, reach)) as unknown as Vector;
  return { place: name, centreMm: [side * at[0], at[1], at[2]], halfAxesMm, hounsfield };
}

/** A cap of even thickness on the convexity. */
function subdural(ml: number, side: number, hounsfield: number, random: () => number): PlantedHaemorrhage {
  const layerMm = between(random, 6, 12);
  const radius = Math.sqrt((1000 * ml) / (Math.PI * layerMm));
  return {
    place: 'subdural',
    centreMm: [side * 60, between(random, -15, 25), 25],
    halfAxesMm: [35, radius, radius],
    hounsfield,
    layerMm,
  };
}
