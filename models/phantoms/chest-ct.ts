import { chestTissue, lungHalfHeight, paintAirways, paintVessels } from './chest-anatomy.js';
import { type NoduleTruth, type PlantedNodule, plantNodules, randomNodules } from './nodules.js';
import { type OpacityTruth, type PlantedOpacity, plantOpacities } from './opacities.js';
import { noiseTile, randomStream } from './random.js';
import { addNoise, blurPlanes, type PhantomVolume, paintVolume } from './volume.js';
import { type PhantomFile, type PhantomRequest, writeCtSeries, writeLocalizer } from './write-ct-series.js';

export interface ChestCtRequest extends PhantomRequest {
  /** Default 80. */
  slices?: number;
  /** Default 2.5 mm. */
  sliceSpacingMm?: number;
  /** Rows and columns. Default 256; the field of view is always 380 mm. */
  rows?: number;
  /** The nodules, or how many to make up. Default 3. */
  nodules?: number | PlantedNodule[];
  /** Patches of ground glass or consolidation. Default none. */
  opacities?: PlantedOpacity[];
  /** Whether the planes are stored turned by 180 degrees, as of a patient who lies prone. Default false. */
  prone?: boolean;
  /** Standard deviation of the noise in the soft tissue, Hounsfield units. Default 20. */
  noise?: number;
  /** Whether a localizer (scout) series is written too. Default false. */
  localizer?: boolean;
}

export interface ChestCt {
  files: PhantomFile[];
  truth: { nodules: NoduleTruth[]; opacities: OpacityTruth[] };
}

const fieldOfViewMm = 380;

/** Writes a chest CT with planted nodules: series 1 axial, series 2 the localizer if asked for. Returns the files and the truth in mm. */
export async function writeChestCt(request: ChestCtRequest): Promise<ChestCt> {
  const { volume, ...truth } = chestVolume(request);
  const window = { centre: -600, width: 1500 };
  const axial = { number: 1, description: 'Chest axial lung', bodyPart: 'CHEST', imageType: 'AXIAL', window } as const;
  const scout = { ...axial, number: 2, description: 'Localizer', imageType: 'LOCALIZER' } as const;
  const files = await writeCtSeries(request, axial, request.prone ? turned(volume) : volume);
  if (request.localizer) files.push(...(await writeLocalizer(request, scout, volume)));
  return { files, truth };
}

/** The same phantom in memory, in Hounsfield units. */
export function chestVolume(request: Omit<ChestCtRequest, keyof PhantomRequest> & { seed?: number }): {
  volume: PhantomVolume;
  nodules: NoduleTruth[];
  opacities: OpacityTruth[];
} {
  const { slices = 80, sliceSpacingMm = 2.5, rows = 256, nodules = 3, opacities = [], noise = 20, seed = 1 } = request;
  const random = randomStream(seed);
  const halfHeight = lungHalfHeight(slices * sliceSpacingMm);
  const size = { columns: rows, rows, slices, pixelSpacing: fieldOfViewMm / rows, sliceSpacing: sliceSpacingMm };
  const volume = paintVolume(size, chestTissue(halfHeight));
  blurPlanes(volume);
  addNoise(volume, noiseTile(random, 25, 30), random, (hounsfield) => hounsfield < -700 && hounsfield > -950);
  paintAirways(volume, halfHeight);
  paintVessels(volume, halfHeight, random);
  const list = typeof nodules === 'number' ? randomNodules(nodules, random) : nodules;
  const planted = plantNodules(volume, list, halfHeight, random);
  const patches = plantOpacities(volume, opacities, halfHeight);
  addNoise(volume, noiseTile(random, noise, 1), random);
  return { volume, nodules: planted, opacities: patches };
}

/** The same patient, seen with the sternum down: rows run to the front, columns to the right. */
function turned(volume: PhantomVolume): PhantomVolume {
  const { hounsfield, columns, rows, slices, origin, pixelSpacing, sliceSpacing } = volume;
  const size = columns * rows;
  const over = new Int16Array(hounsfield.length);
  for (let at = 0; at < over.length; at += size) over.set(hounsfield.slice(at, at + size).reverse(), at);
  const [x, y] = [origin[0] + (columns - 1) * pixelSpacing, origin[1] + (rows - 1) * pixelSpacing];
  const planes = Array.from({ length: slices }, (_, i) => ({
    position: [x, y, origin[2] + i * sliceSpacing] as const,
    thickness: sliceSpacing,
  }));
  return { ...volume, hounsfield: over, planes, orientation: [-1, 0, 0, 0, -1, 0] };
}
