import { success } from '../outcome.js';
import type { Prepare, Tensors } from '../pipeline.js';
import { findNodules } from './findings.js';
import { preprocess } from './preprocess.js';

export const prepare: Prepare = async (paths, manifest, progress) => {
  const read = await preprocess(paths, manifest, progress);
  if (!read.ok) return read;
  const grid = read.value;
  const shape = [1, 1, ...grid.shape];
  const feeds: Tensors = {
    hounsfield: { data: grid.hounsfield, shape },
    lung: { data: Float32Array.from(grid.lung), shape },
  };
  const { studyInstanceUid, seriesInstanceUid, instances } = grid.volume;
  const interpret = (outputs: Tensors) => findNodules(outputs, grid, manifest);
  return success({ feeds, studyInstanceUid, seriesInstanceUid, inputs: instances, interpret });
};
