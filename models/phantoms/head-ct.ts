import { noiseTile, randomStream } from './random.js';
import { addNoise, blurPlanes, type PhantomVolume, paintSolid, paintVolume, type Vector } from './volume.js';
import { type PhantomFile, type PhantomRequest, writeCtSeries, writeLocalizer } from './write-ct-series.js';

// Called for every voxel: a look-up of the global each time would cost more than the arithmetic in a sandboxed context.
const { PI, abs, hypot, min, sin, sqrt } = Math;

/** Fresh blood in the brain: an ellipsoid. */
export interface Haemorrhage {
  /** Centre in the patient's space, mm. */
  centreMm: Vector;
  /** Half axes, mm. */
  halfAxesMm: Vector;
  /** Default 68. */
  hounsfield?: number;
}

export interface HeadCtRequest extends PhantomRequest {
  /** Default 32. */
  slices?: number;
  /** Default 5 mm. */
  sliceSpacingMm?: number;
  /** Rows and columns. Default 256; the field of view is always 240 mm. */
  rows?: number;
  /** Fresh blood to plant. Default none. */
  haemorrhage?: Haemorrhage;
  /** Standard deviation of the noise, Hounsfield units. Default 4. */
  noise?: number;
  /** Whether a localizer (scout) series is written too. Default false. */
  localizer?: boolean;
}

export interface HeadCt {
  files: PhantomFile[];
  truth: { haemorrhages: { centreMm: Vector; volumeMl: number; hounsfield: number }[] };
}

const fieldOfViewMm = 240;

/** Writes a head CT: series 1 axial, series 2 the localizer if asked for. Returns the files and the truth. */
export async function writeHeadCt(request: HeadCtRequest): Promise<HeadCt> {
  const volume = headVolume(request);
  const window = { centre: 40, width: 80 };
  const axial = { number: 1, description: 'Head axial', bodyPart: 'HEAD', imageType: 'AXIAL', window } as const;
  const scout = { ...axial, number: 2, description: 'Localizer', imageType: 'LOCALIZER' } as const;
  const files = await writeCtSeries(request, axial, volume);
  if (request.localizer) files.push(...(await writeLocalizer(request, scout, volume)));
  const { haemorrhage } = request;
  return { files, truth: { haemorrhages: haemorrhage ? [truthOf(haemorrhage)] : [] } };
}

function truthOf({ centreMm, halfAxesMm, hounsfield = 68 }: Haemorrhage) {
  const [a, b, c] = halfAxesMm;
  return { centreMm, hounsfield, volumeMl: ((4 / 3) * PI * a * b * c) / 1000 };
}

/** The same phantom in memory, in Hounsfield units. */
export function headVolume(request: Omit<HeadCtRequest, keyof PhantomRequest> & { seed?: number }): PhantomVolume {
  const { slices = 32, sliceSpacingMm = 5, rows = 256, haemorrhage, noise = 4, seed = 1 } = request;
  const random = randomStream(seed);
  const size = { columns: rows, rows, slices, pixelSpacing: fieldOfViewMm / rows, sliceSpacing: sliceSpacingMm };
  const volume = paintVolume(size, headTissue);
  blurPlanes(volume);
  if (haemorrhage) paintHaemorrhage(volume, haemorrhage);
  addNoise(volume, noiseTile(random, 3, 20), random, (hounsfield) => hounsfield > 15 && hounsfield < 60);
  addNoise(volume, noiseTile(random, noise, 1), random);
  return volume;
}

/** Scalp, skull, a film of fluid, brain with grey bark, ventricles and falx, from the outside in. */
function headTissue(x: number, y: number, z: number): number {
  const shell = sqrt((x / 78) ** 2 + (y / 96) ** 2 + (z / 92) ** 2);
  if (shell > 1) return y > 100 && y < 106 && abs(x) < 70 ? -120 : -1000;
  if (shell > 0.95) return 20;
  if (shell > 0.87) return shell > 0.93 || shell < 0.89 ? 1100 : 600;
  if (shell > 0.85) return 10;
  if (inVentricle(abs(x), y, z)) return 6;
  if (abs(x) < 1 && abs(y) > 35) return 55;
  return shell > 0.78 || sin(x / 6) * sin(y / 7) * sin(z / 8) > 0.45 ? 38 : 29;
}

const inVentricle = (x: number, y: number, z: number): boolean =>
  ((x - 11) / 7) ** 2 + ((y + 2) / 32) ** 2 + ((z - 10) / 14) ** 2 < 1;

function paintHaemorrhage(
  volume: PhantomVolume,
  { centreMm: [cx, cy, cz], halfAxesMm: [a, b, c], hounsfield = 68 }: Haemorrhage,
): void {
  const distance = (x: number, y: number, z: number) => {
    const relative = hypot((x - cx) / a, (y - cy) / b, (z - cz) / c);
    return (relative - 1) * min(a, b, c);
  };
  const bounds = { low: [cx - a, cy - b, cz - c], high: [cx + a, cy + b, cz + c] } as const;
  paintSolid(volume, bounds, distance, hounsfield);
}
