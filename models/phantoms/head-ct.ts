import { type HeadAnatomy, headTissue, midlineShiftOf, plainHead, toHead, variedHead } from './head-anatomy.js';
import { type Haemorrhage, inHaemorrhage, type PlantedHaemorrhage, randomHaemorrhage } from './head-blood.js';
import { noiseTile, randomStream } from './random.js';
import { addNoise, blurPlanes, type PhantomVolume, type Vector } from './volume.js';
import { type PhantomFile, type PhantomRequest, writeCtSeries, writeLocalizer } from './write-ct-series.js';

export interface HeadCtRequest extends PhantomRequest {
  /** Default 32. */
  slices?: number;
  /** Default 5 mm. */
  sliceSpacingMm?: number;
  /** The lowest slices of a series that begins with thinner ones, as for the posterior fossa: how many, and how far apart. */
  thinnerBelow?: { slices: number; spacingMm: number };
  /** Of the gantry, degrees: the planes rise to the back. Default 0. */
  tiltDegrees?: number;
  /** Rows and columns. Default 256; the field of view is always 240 mm. */
  rows?: number;
  /** Fresh blood to plant, or volumes in ml for blood at places that the seed chooses. Default none. */
  haemorrhages?: (Haemorrhage | number)[];
  /** How far the middle of the brain is pushed to the left, mm. Default 0. */
  shiftMm?: number;
  /** Whether size, posture, age, calcifications and artefacts are those of the seed. Default false: a plain head. */
  varied?: boolean;
  /** Standard deviation of the noise, Hounsfield units. Default 4. */
  noise?: number;
  /** Default 1. */
  seriesNumber?: number;
  /** Contrast/Bolus Agent (0018,0010). */
  contrastAgent?: string;
  /** Convolution Kernel (0018,1210). */
  kernel?: string;
  /** Whether a localizer (scout) series is written too. Default false. */
  localizer?: boolean;
}

export interface HaemorrhageTruth {
  place: string;
  /** Middle of the blood in the patient's space, mm. */
  centreMm: Vector;
  volumeMl: number;
  hounsfield: number;
}

export interface HeadTruth {
  haemorrhages: HaemorrhageTruth[];
  /** Of the septum and the third ventricle from the midline of the skull; positive to the left. */
  midlineShiftMm: number;
}

export interface HeadCt {
  files: PhantomFile[];
  truth: HeadTruth;
}

const fieldOfViewMm = 240;
/** Heights within a slice that are averaged, this far apart: the partial volume of a thick slice, mm. */
const layerMm = 1.7;

/** Writes a head CT: an axial series, and the localizer as the next one if asked for. Returns the files and the truth. */
export async function writeHeadCt(request: HeadCtRequest): Promise<HeadCt> {
  const { volume, truth } = headVolume(request);
  const { contrastAgent, kernel, seriesNumber = 1 } = request;
  const window = { centre: 40, width: 80 };
  const axial = { number: seriesNumber, description: 'Head axial', bodyPart: 'HEAD', imageType: 'AXIAL', window } as const;
  const scout = { ...axial, number: seriesNumber + 1, description: 'Localizer', imageType: 'LOCALIZER' } as const;
  const files = await writeCtSeries(request, { ...axial, contrastAgent, kernel }, volume);
  if (request.localizer) files.push(...(await writeLocalizer(request, scout, volume)));
  return { files, truth };
}

/** The same phantom in memory, in Hounsfield units. */
export function headVolume(request: Omit<HeadCtRequest, keyof PhantomRequest> & { seed?: number }): {
  volume: PhantomVolume;
  truth: HeadTruth;
} {
  const { haemorrhages = [], shiftMm = 0, varied = false, noise = 4, seed = 1 } = request;
  const random = randomStream(seed);
  const anatomy = varied ? variedHead(random, shiftMm) : { ...plainHead, shiftMm };
  const planted = haemorrhages.map((one) =>
    typeof one === 'number' ? randomHaemorrhage(one, random) : { place: 'given', ...one },
  );
  const { volume, counted } = paintHead(request, anatomy, planted);
  blurPlanes(volume);
  addNoise(volume, noiseTile(random, 3, 20), random, (hounsfield) => hounsfield > 15 && hounsfield < 60);
  addNoise(volume, noiseTile(random, noise, 1), random);
  const truths = planted.map(({ place, hounsfield = 68 }, i) => ({ place, hounsfield, ...counted[i]! }));
  return { volume, truth: { haemorrhages: truths, midlineShiftMm: midlineShiftOf(anatomy) } };
}

/** Paints the planes one by one, each as the mean of the heights within it, and counts the blood. */
function paintHead(
  { slices = 32, sliceSpacingMm = 5, thinnerBelow, tiltDegrees = 0, rows = 256 }: Omit<HeadCtRequest, keyof PhantomRequest>,
  anatomy: HeadAnatomy,
  blood: PlantedHaemorrhage[],
): { volume: PhantomVolume; counted: { volumeMl: number; centreMm: Vector }[] } {
  const pixelSpacing = fieldOfViewMm / rows;
  const planes = planesOf(slices, sliceSpacingMm, thinnerBelow);
  const tilt = (tiltDegrees * Math.PI) / 180;
  const [across, up] = [Math.cos(tilt), Math.sin(tilt)];
  const start = (-(rows - 1) / 2) * pixelSpacing;
  const hounsfield = new Int16Array(rows * rows * slices);
  const sums = blood.map(() => ({ ml: 0, at: [0, 0, 0] }));
  let at = 0;
  for (const { height, thickness } of planes) {
    const layers = Math.max(1, Math.round(thickness / layerMm));
    const layerMl = (pixelSpacing ** 2 * thickness) / layers / 1000;
    for (let row = 0; row < rows; row++) {
      const along = start + row * pixelSpacing;
      for (let column = 0; column < rows; column++, at++) {
        let sum = 0;
        for (let layer = 0; layer < layers; layer++) {
          // Layers lie along the normal of the tilted plane, the planes one above the other along the table.
          const lift = ((layer + 0.5) / layers - 0.5) * thickness;
          const point: Vector = [start + column * pixelSpacing, along * across - lift * up, height + along * up + lift * across];
          const [x, y, z] = toHead(anatomy, point);
          const filled = blood.findIndex((one) => inHaemorrhage(one, x, y, z));
          if (filled >= 0) {
            sums[filled]!.ml += layerMl;
            for (let axis = 0; axis < 3; axis++) sums[filled]!.at[axis]! += layerMl * point[axis]!;
          }
          sum += filled >= 0 ? (blood[filled]!.hounsfield ?? 68) : headTissue(anatomy, x, y, z);
        }
        hounsfield[at] = sum / layers;
      }
    }
  }
  const places = planes.map(({ height, thickness }) => ({
    position: [start, start * across, height + start * up] as Vector,
    thickness,
  }));
  const size = { columns: rows, rows, slices, pixelSpacing, sliceSpacing: sliceSpacingMm };
  const orientation = [1, 0, 0, 0, across, up];
  const counted = sums.map((sum) => ({ volumeMl: sum.ml, centreMm: sum.at.map((value) => value / sum.ml) as unknown as Vector }));
  return { volume: { hounsfield, ...size, origin: places[0]!.position, planes: places, orientation }, counted };
}

/** Heights of the planes above the middle of the head at its centre, and their thickness; a tilt makes no difference to the steps of the table. */
function planesOf(slices: number, spacing: number, thinner?: HeadCtRequest['thinnerBelow']) {
  const below = thinner?.slices ?? 0;
  const length = below * (thinner?.spacingMm ?? 0) + (slices - below) * spacing;
  let edge = -length / 2;
  return Array.from({ length: slices }, (_, i) => {
    const thickness = i < below ? thinner!.spacingMm : spacing;
    edge += thickness;
    return { height: edge - thickness / 2, thickness };
  });
}
