/**
 * Measures the burden on computed phantoms with ground glass of known volume: `node <build>/models/covid-ct/measure-burden.js [--cases 20] [--seed 201]
 * [--rows 256] [--slices 60] [--spacing 4]`. Half of the patches lie under the pleura, half anywhere; 0 to 8 a case, half axes of 15 to 45 mm, -550 to -350 HU.
 */
import { parseArgs } from 'node:util';
import type { CtVolume } from '../dicom/ct-volume.js';
import type { Manifest } from '../manifest.js';
import { loadModelPackage } from '../model-package.js';
import { chestVolume } from '../phantoms/chest-ct.js';
import type { PlantedOpacity } from '../phantoms/opacities.js';
import { between, randomStream } from '../phantoms/random.js';
import type { PhantomVolume } from '../phantoms/volume.js';
import { measureBurden } from './burden.js';
import { findLungs } from './find-lungs.js';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20' },
    seed: { type: 'string', default: '201' },
    rows: { type: 'string', default: '256' },
    slices: { type: 'string', default: '60' },
    spacing: { type: 'string', default: '4' },
  },
});

async function main(): Promise<void> {
  const loaded = await loadModelPackage('covid-ct');
  if (!loaded.ok) throw new Error(loaded.message);
  const [first, count] = [Number(values.seed), Number(values.cases)];
  const cases = Array.from({ length: count }, (_, i) => measure(first + i, loaded.value.manifest));
  console.table(cases);
  for (const side of ['right', 'left'] as const)
    console.log(side, summary(cases.map((one) => one[side] - one[`${side} planted`])));
}

function measure(seed: number, manifest: Manifest) {
  const size = { rows: Number(values.rows), slices: Number(values.slices), sliceSpacingMm: Number(values.spacing) };
  const { volume, opacities } = chestVolume({ seed, nodules: 0, opacities: randomOpacities(seed), ...size });
  const lungs = findLungs(asCtVolume(volume), manifest);
  if (!lungs.ok) throw new Error(`Seed ${seed}: ${lungs.message}`);
  const { right, left } = measureBurden(lungs.value, manifest);
  const planted = (side: 'right' | 'left') => Math.round(opacities.reduce((sum, { volumeMl }) => sum + volumeMl[side], 0));
  return {
    seed,
    'right planted': planted('right'),
    right: Math.round(right.ml),
    'left planted': planted('left'),
    left: Math.round(left.ml),
    outlineSeen: lungs.value.outlineSeen,
  };
}

/** Patches that do not overlap, so that their volumes add up. */
function randomOpacities(seed: number): PlantedOpacity[] {
  const random = randomStream(seed);
  const patches: PlantedOpacity[] = [];
  for (let wanted = Math.floor(between(random, 0, 9)); wanted > 0; wanted--) {
    const outward = random() < 0.5 ? between(random, 100, 120) : between(random, 50, 100);
    const patch: PlantedOpacity = {
      centreMm: [random() < 0.5 ? outward : -outward, between(random, -50, 70), between(random, -80, 80)],
      halfAxesMm: [between(random, 15, 45), between(random, 15, 45), between(random, 15, 45)],
      hounsfield: Math.round(between(random, -550, -350)),
    };
    if (patches.every((other) => apart(patch, other))) patches.push(patch);
  }
  return patches;
}

const apart = (a: PlantedOpacity, b: PlantedOpacity): boolean =>
  [0, 1, 2].some((axis) => Math.abs(a.centreMm[axis]! - b.centreMm[axis]!) > a.halfAxesMm[axis]! + b.halfAxesMm[axis]!);

function asCtVolume(volume: PhantomVolume): CtVolume {
  const { pixelSpacing, sliceSpacing, origin, ...grid } = volume;
  return {
    ...grid,
    origin: [...origin],
    spacing: { x: pixelSpacing, y: pixelSpacing, z: sliceSpacing },
    axes: { x: [1, 0, 0], y: [0, 1, 0], z: [0, 0, 1] },
    studyInstanceUid: '',
    seriesInstanceUid: '',
    bodyPart: 'CHEST',
    instances: [],
    planes: [],
  };
}

function summary(errors: number[]): string {
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  const spread = Math.sqrt(errors.reduce((sum, error) => sum + (error - mean) ** 2, 0) / (errors.length - 1));
  return `error ${mean.toFixed(0)} ml on average, standard deviation ${spread.toFixed(0)}, from ${Math.min(...errors)} to ${Math.max(...errors)}`;
}

await main();
