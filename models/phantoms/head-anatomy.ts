import { between } from './random.js';
import type { Vector } from './volume.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { PI, abs, cos, exp, hypot, max, sin, sqrt } = Math;

/** What differs from head to head. Lengths in mm, densities in Hounsfield units. */
export interface HeadAnatomy {
  /** Size against the mean head. */
  scale: number;
  /** Turn of the head about its long axis and its lean to a shoulder, radians. */
  turn: number;
  lean: number;
  /** Half width of the fluid film under the skull, and of the furrows, as a share of the shell; the elderly have more. */
  atrophy: number;
  /** Density of the blood in the dural sinuses. */
  sinus: number;
  /** Calcifications: balls of calcium. */
  calcified: { centre: Vector; radius: number; hounsfield: number }[];
  /** An old infarct: brain nearly as thin as water. */
  infarct?: { centre: Vector; radius: number };
  /** Dark and light streaks between the petrous bones, and the lightening beside bone. */
  streak: number;
  cupping: number;
  /** How far the middle of the brain is pushed to the left (+x). */
  shiftMm: number;
}

export const plainHead: HeadAnatomy = {
  scale: 1,
  turn: 0,
  lean: 0,
  atrophy: 0.012,
  sinus: 58,
  calcified: [],
  streak: 0,
  cupping: 0,
  shiftMm: 0,
};

/** A head as the seed has it. */
export function variedHead(random: () => number, shiftMm: number): HeadAnatomy {
  const calcified: HeadAnatomy['calcified'] = [];
  const deposit = (share: number, centre: Vector, radius: number, low: number, high: number) => {
    if (random() < share) calcified.push({ centre, radius, hounsfield: between(random, low, high) });
  };
  deposit(0.7, [0, 28, 2], between(random, 1.5, 3.5), 110, 300);
  for (const side of [-1, 1]) deposit(0.6, [side * 17, 29, 8], between(random, 2, 5), 110, 350);
  for (const side of [-1, 1]) deposit(0.15, [side * 20, -2, 2], between(random, 2, 3.5), 105, 160);
  deposit(0.3, [0, -60, 35], between(random, 1.5, 3), 150, 500);
  const infarct = {
    centre: [random() < 0.5 ? -40 : 40, between(random, -20, 45), 15] as Vector,
    radius: between(random, 10, 22),
  };
  return {
    scale: between(random, 0.93, 1.05),
    turn: between(random, -0.09, 0.09),
    lean: between(random, -0.07, 0.07),
    atrophy: between(random, 0.008, 0.03),
    sinus: between(random, 50, 70),
    calcified,
    ...(random() < 0.2 ? { infarct } : {}),
    streak: between(random, 2, 10),
    cupping: between(random, 0, 6),
    shiftMm,
  };
}

/** Distance from the middle of the head, 1 at the skin. The skull lies from 0.87 to 0.95. */
const shellOf = (x: number, y: number, z: number): number => sqrt((x / 78) ** 2 + (y / 96) ** 2 + (z / 92) ** 2);
const innerTable = 0.87;

/** Height of the floor of the cranial cavity: the anterior, middle and posterior fossa; higher on the petrous ridge. */
function floorOf(x: number, y: number): number {
  if (y < -35) return -26;
  const ridge = abs(x) > 16 ? 18 * exp(-(((y - 4) / 6) ** 2)) : 0;
  return (y < 4 ? (abs(x) < 14 ? -28 : -44) : -62) + ridge;
}

/** Whether a point of the head's own space lies in the cranial cavity. */
export const inCavity = (x: number, y: number, z: number): boolean => shellOf(x, y, z) < innerTable && z > floorOf(x, y);

/** Millimetres from the inner table, roughly, for points in the cavity. */
export const depthUnderTable = (x: number, y: number, z: number): number => (innerTable - shellOf(x, y, z)) * 85;

/** A point of the scan in the head's own space. */
export function toHead({ scale, turn, lean }: HeadAnatomy, [x, y, z]: Vector): Vector {
  const [s, c] = [sin(turn), cos(turn)];
  const [turnedX, turnedY] = [c * x + s * y, c * y - s * x];
  const [t, d] = [sin(lean), cos(lean)];
  return [(d * turnedX + t * z) / scale, turnedY / scale, (d * z - t * turnedX) / scale];
}

/** How far the tissue that is seen at a point was pushed: most in the middle, nothing at the skull. */
const pushed = (shiftMm: number, shell: number): number => shiftMm * max(0, 1 - (shell / innerTable) ** 2);

/** How far the third ventricle and the septum lie from the midline of the skull, mm. */
export function midlineShiftOf({ shiftMm, scale }: HeadAnatomy): number {
  let x = 0;
  for (let i = 0; i < 50; i++) x = pushed(shiftMm, shellOf(x, 0, 5));
  return x * scale;
}

/** Hounsfield units of a head without bleeding, at a point of its own space. */
export function headTissue(anatomy: HeadAnatomy, x: number, y: number, z: number): number {
  const shell = shellOf(x, y, z);
  if (shell > 1) return y > 100 && y < 106 && abs(x) < 70 ? -120 : -1000;
  const floor = floorOf(x, y);
  if (z < floor) return belowFloor(x, y, z, shell, floor);
  if (shell > 0.95) return 20;
  if (shell > innerTable) return shell > 0.93 || shell < 0.89 ? 1100 : 600;
  return cavity(anatomy, x, y, z, shell) + hardening(anatomy, y, z, shell);
}

/** Face and neck under a floor of bone: eyes in fat, sinuses full of air, clivus, muscle, and the spinal canal in its ring of bone. */
function belowFloor(x: number, y: number, z: number, shell: number, floor: number): number {
  const canal = hypot(x, y - 35);
  if (canal < 14) return canal < 7 ? 32 : 8;
  if (z > floor - 5) return abs(x) > 18 && abs(y - 4) < 12 ? 1300 : 800;
  if (canal < 20) return 600;
  // The sphenoid sinus and, behind it, the clivus.
  if (abs(x) < 20 && y > -32 && y < 18 && z > -68) return y < -8 && abs(x) < 17 && y > -29 ? -900 : 500;
  const orbit = hypot(abs(x) - 32, y + 58, z + 44);
  if (orbit < 18) return hypot(abs(x) - 32, y + 66, z + 44) < 11 ? 15 : orbit > 17 ? 500 : -80;
  if (abs(x) < 12 && y < -30 && y > -75) return z > -70 && abs(x) > 1 ? -950 : 60;
  if (abs(x) > 35 && abs(x) < 60 && hypot(y - 15, z + 60) < 12) return sin(x) * sin(y) > 0 ? -800 : 700;
  return shell > 0.93 ? 20 : shell > 0.87 && y < 0 ? 700 : sin(x / 5) * sin(y / 6) > 0.5 ? -90 : 55;
}

function cavity(anatomy: HeadAnatomy, x: number, y: number, z: number, shell: number): number {
  if (inSinus(x, y, z, shell)) return anatomy.sinus;
  const film = innerTable - anatomy.atrophy;
  if (shell > film) return 10;
  const from = x - pushed(anatomy.shiftMm, shell);
  for (const { centre, radius, hounsfield } of anatomy.calcified)
    if (hypot(from - centre[0], y - centre[1], z - centre[2]) < radius) return hounsfield;
  if (inVentricle(from, y, z)) return 6;
  if (abs(from) < 0.9 && z > -10 && (y < -35 || y > 40 || z > 34)) return 52;
  if (abs(z - tentoriumAt(x)) < 1 && y > 12 && hypot(x, y - 15) > 22) return 50;
  if (hypot(z + 18, y + 18 - abs(x) / 4) < 1.6 && abs(x) > 4 && abs(x) < 38) return 48;
  const { infarct } = anatomy;
  if (infarct && hypot(from - infarct.centre[0], y - infarct.centre[1], z - infarct.centre[2]) < infarct.radius) return 17;
  const folds = sin(from / 6) * sin(y / 7) * sin(z / 8);
  if (shell > 0.62 && abs(folds) < anatomy.atrophy * (shell - 0.6) * 6) return 12;
  return shell > film - 0.06 || folds > 0.45 ? 38 : 29;
}

const tentoriumAt = (x: number): number => -12 - 0.3 * abs(x);

/** The sagittal sinus under the vault, the transverse ones where the tentorium meets the skull, and their confluence. */
function inSinus(x: number, y: number, z: number, shell: number): boolean {
  const depth = (innerTable - shell) * 85;
  if (depth > 9) return false;
  if (z > -14 && (y > 0 || z > 45)) return hypot(x, depth - 2) < 4.5;
  return y > 25 && hypot((z - tentoriumAt(x)) / 4, (depth - 2) / 5) < 1;
}

function inVentricle(x: number, y: number, z: number): boolean {
  const lateral = ((abs(x) - 11) / 7) ** 2 + ((y + 2) / 32) ** 2 + ((z - 10) / 14) ** 2 < 1;
  const third = (x / 2.5) ** 2 + (y / 13) ** 2 + ((z + 8) / 10) ** 2 < 1;
  return lateral || third || hypot(x / 1.4, y - 42, z + 38) < 6;
}

function hardening({ streak, cupping }: HeadAnatomy, y: number, z: number, shell: number): number {
  const between = streak === 0 ? 0 : streak * cos((PI * (y - 4)) / 14) * exp(-(((z + 40) / 10) ** 2) - ((y - 4) / 25) ** 2);
  return between + (cupping === 0 ? 0 : cupping * exp(-((innerTable - shell) * 85) / 6));
}
