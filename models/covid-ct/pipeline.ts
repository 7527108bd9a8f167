import { type CtVolume, readCtVolume } from '../dicom/ct-volume.js';
import type { Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import type { Score, Tools } from '../pipeline.js';
import { measureBurden } from './burden.js';
import { choosePlanes } from './choose-planes.js';
import { ofSlices, ofVolume } from './interpretation.js';
import { findLungs } from './find-lungs.js';
import { readLungSlices } from './single-slices.js';
import { canStandUpright, type Plane, type SliceScore, scoreSlice } from './slice-score.js';

/** Signs of COVID-19 on a chest CT: of the case where the study holds a volume, else of its single slices. */
export const score: Score = async ({ files }, manifest, tools) => {
  const { volume: limits, transferSyntaxes } = manifest.accepts;
  if (!limits) return failure('invalid-model', 'The manifest does not say which volumes the model accepts.');
  const volume = await readCtVolume(files, { ...limits, transferSyntaxes }, tools.progress);
  if (volume.ok) return scoreVolume(volume.value, manifest, tools);
  return volume.code === 'not-applicable' ? scoreSingleSlices(files, manifest, tools) : volume;
};

async function scoreVolume(volume: CtVolume, manifest: Manifest, tools: Tools): Promise<Outcome<Interpretation>> {
  if (volume.bodyPart && !manifest.accepts.bodyPartExamined.includes(volume.bodyPart))
    return failure('not-applicable', 'The series shows another part of the body.');
  if (!canStandUpright(volume)) return failure('not-applicable', 'The columns of the slices do not run from front to back.');
  const lungs = findLungs(volume, manifest);
  if (!lungs.ok) return lungs;
  const planes = choosePlanes(lungs.value, volume, manifest).map((index) => planeOf(volume, index));
  const scores = await scoreAll(planes, manifest, tools);
  tools.stage('measuring');
  const { studyInstanceUid, seriesInstanceUid, instances } = volume;
  const burden = lungs.value.outlineSeen ? measureBurden(lungs.value, manifest) : undefined;
  const said = ofVolume(scores, burden, manifest);
  // What can't be seen may be ill: a low score of the rest is no result.
  if (!burden && !said.positive)
    return failure('not-applicable', 'Much of the lungs is as dense as tissue. Nothing is said about them.');
  return success({ studyInstanceUid, seriesInstanceUid, inputs: instances, ...said });
}

async function scoreSingleSlices(files: string[], manifest: Manifest, tools: Tools): Promise<Outcome<Interpretation>> {
  const slices = await readLungSlices(files, manifest);
  if (!slices.ok) return slices;
  const scores = await scoreAll(slices.value, manifest, tools);
  tools.stage('measuring');
  const best = scores.reduce((top, one) => (one.probability > top.probability ? one : top));
  return success({
    studyInstanceUid: slices.value[0]!.studyInstanceUid,
    seriesInstanceUid: best.seriesInstanceUid,
    inputs: slices.value.map(({ instance }) => instance),
    ...ofSlices(scores, manifest),
  });
}

async function scoreAll(planes: Plane[], manifest: Manifest, tools: Tools): Promise<SliceScore[]> {
  tools.stage('computing');
  const scores: SliceScore[] = [];
  for (const plane of planes) {
    scores.push(await scoreSlice(plane, manifest, tools));
    tools.progress(scores.length / planes.length);
  }
  return scores;
}

function planeOf({ hounsfield, rows, columns, axes, seriesInstanceUid, instances }: CtVolume, index: number): Plane {
  const pixels = rows * columns;
  const plane = hounsfield.subarray(index * pixels, (index + 1) * pixels);
  return { hounsfield: plane, rows, columns, axes, seriesInstanceUid, instance: instances[index]! };
}
