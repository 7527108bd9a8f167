import { success } from '../outcome.js';
import type { Score } from '../pipeline.js';
import { weighCandidates } from './candidates.js';
import { findNodules } from './findings.js';
import { preprocess } from './preprocess.js';

/** Candidates by their shape, weighed by a network that knows nodules, on the chest CT of the study. */
export const score: Score = async ({ files }, manifest, tools) => {
  const read = await preprocess(files, manifest, tools.progress);
  if (!read.ok) return read;
  const grid = read.value;
  const shape = [1, 1, ...grid.shape];
  tools.stage('computing');
  const outputs = await tools.run({
    hounsfield: { data: grid.hounsfield, shape },
    lung: { data: Float32Array.from(grid.lung), shape },
  });
  const candidates = await weighCandidates(outputs, grid, manifest, tools.run);
  tools.stage('measuring');
  const { studyInstanceUid, seriesInstanceUid, instances } = grid.volume;
  return success({ studyInstanceUid, seriesInstanceUid, inputs: instances, ...findNodules(candidates, grid, manifest) });
};
