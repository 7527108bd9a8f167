import { failure, type Failure, success } from '../outcome.js';
import type { Manifest } from '../manifest.js';
import type { Score, Tensors } from '../pipeline.js';
import { type Cavity, cranialCavity } from './cavity.js';
import { findHaemorrhages } from './findings.js';
import { type HeadGrid, readHead } from './head-volume.js';

/** Fresh blood inside the skull by its density, on the plain head CT of the study. */
export const score: Score = async ({ files }, manifest, tools) => {
  const read = await readHead(files, manifest, tools.progress);
  if (!read.ok) return read;
  const grid = read.value;
  const cavity = cranialCavity(grid);
  if (!cavity || cavity.volumeMl < manifest.parameters['leastCavityMl']!)
    return failure(
      'not-applicable',
      'No cranial cavity is seen whole: the series shows too little of the head, or the skull is open.',
    );
  const shape = [1, 1, grid.planes.length, grid.rows, grid.columns];
  tools.stage('computing');
  const outputs = await tools.run({
    hounsfield: { data: grid.hounsfield, shape },
    cavity: { data: Float32Array.from(cavity.mask), shape },
  });
  tools.stage('measuring');
  const unfit = unfitness(outputs, cavity, grid, manifest);
  if (unfit) return unfit;
  const { studyInstanceUid, seriesInstanceUid, instances } = grid.volume;
  return success({
    studyInstanceUid,
    seriesInstanceUid,
    inputs: instances,
    ...findHaemorrhages(outputs, cavity, grid, manifest),
  });
};

/** What the header does not tell: values that are no Hounsfield units of a brain, contrast in the vessels or metal, too much noise. */
function unfitness(outputs: Tensors, { mask, depth }: Cavity, grid: HeadGrid, { parameters }: Manifest): Failure | undefined {
  const { hounsfield, columns, rows, planes, pixel } = grid;
  const [light, calcium] = [outputs['light']!.data, outputs['calcium']!.data];
  const [brain, differences]: [number[], number[]] = [[], []];
  let denseMl = 0;
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i] || depth[i]! < 8) continue;
    if (calcium[i]) denseMl += (pixel.x * pixel.y * planes[Math.floor(i / (rows * columns))]!.thickness) / 1000;
    if (i % 7 !== 0) continue;
    brain.push(light[i]!);
    differences.push(Math.abs(hounsfield[i]! - hounsfield[i + 2]!));
  }
  const middle = (values: number[]) => Float64Array.from(values).sort()[values.length >> 1] ?? Number.NaN;
  const typical = middle(brain);
  if (!(typical >= parameters['leastBrainHu']! && typical <= parameters['mostBrainHu']!))
    return failure('not-applicable', 'The values inside the skull are not those of a brain.');
  if (denseMl > parameters['mostCalciumMl']!)
    return failure('not-applicable', 'Too much inside the skull is denser than blood: contrast agent, metal or calcium.');
  // Half of the differences of two samples are below 0.954 standard deviations.
  if (middle(differences) / 0.954 > parameters['mostNoiseHu']!) return failure('not-applicable', 'The images are too noisy.');
  return undefined;
}
