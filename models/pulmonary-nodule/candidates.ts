import type { Manifest } from '../manifest.js';
import type { Tensors, Tools } from '../pipeline.js';
import { patchAt } from './patch.js';
import type { LungGrid } from './preprocess.js';

/** A place that may be a nodule, and what speaks for it. */
export interface Candidate {
  /** Mean of the other two, `networkShare` of it the network's. */
  score: number;
  /** Of the blob graph; 1 is the answer to an ideal ball of soft tissue. */
  response: number;
  /** Of the network that tells nodules from other candidates. */
  probability: number;
  /** Plane, row, column on the cropped grid. */
  place: [number, number, number];
  /** Standard deviation of the best scale, mm. */
  scale: number;
}

/** Candidates by the blob graph that reach the operating point with what the network says of them, the best first. */
export async function weighCandidates(
  outputs: Tensors,
  grid: LungGrid,
  { thresholds, parameters }: Manifest,
  run: Tools['run'],
): Promise<Candidate[]> {
  const [share, threshold] = [parameters['networkShare']!, thresholds['score']!];
  // With less than this even a probability of 1 is not enough.
  const least = (threshold - share) / (1 - share);
  const asked = peaksOf(outputs)
    .filter(({ response }) => response >= least)
    .slice(0, parameters['mostCandidates']!);
  const probabilities = await probabilitiesOf(asked, grid, parameters['patchPixels']!, run);
  return asked
    .map((peak, i) => ({
      ...peak,
      probability: probabilities[i]!,
      score: (1 - share) * peak.response + share * probabilities[i]!,
    }))
    .filter(({ score }) => score >= threshold)
    .sort((a, b) => b.score - a.score);
}

type Peak = Pick<Candidate, 'response' | 'place' | 'scale'>;

function peaksOf({ score, place, scale }: Tensors): Peak[] {
  return [...score!.data]
    .map((response, i) => ({
      response,
      place: [...place!.data.subarray(3 * i, 3 * i + 3)] as Candidate['place'],
      scale: scale!.data[i]!,
    }))
    .sort((a, b) => b.response - a.response);
}

async function probabilitiesOf(peaks: Peak[], grid: LungGrid, size: number, run: Tools['run']): Promise<Float32Array> {
  if (peaks.length === 0) return new Float32Array();
  const data = new Float32Array(peaks.length * size * size);
  for (const [i, { place }] of peaks.entries()) data.set(patchAround(grid, place, size), i * size * size);
  const outputs = await run({ hounsfield: { data, shape: [peaks.length, 1, size, size] } }, 'false-positive');
  return outputs['probability']!.data;
}

function patchAround({ volume, voxel, low }: LungGrid, place: Candidate['place'], size: number): Float32Array {
  const { x, y, z } = volume.spacing;
  const [plane, row, column] = place.map((at, axis) => ((at + low[axis]!) * voxel) / [z, y, x][axis]!) as Candidate['place'];
  return patchAt(volume, [plane, row, column], size);
}
