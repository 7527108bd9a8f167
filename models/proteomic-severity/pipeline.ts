import { success } from '../outcome.js';
import type { Score } from '../pipeline.js';
import { contributionsOf } from './contributions.js';
import { panelOf } from './panel.js';

/** Probability of severe disease from one sample's proteins, with what each protein adds to it. */
export const score: Score = async ({ observations }, manifest, tools) => {
  const panel = panelOf(observations, manifest);
  if (!panel.ok) return panel;
  const { values, inputs } = panel.value;
  tools.stage('computing');
  const withAndWithout = [values, ...values.map((_, left) => values.map((value, i) => (i === left ? Number.NaN : value)))];
  const outputs = await tools.run({
    proteins: { data: Float32Array.from(withAndWithout.flat()), shape: [withAndWithout.length, values.length] },
  });
  tools.stage('measuring');
  const [severity, ...without] = outputs['severity']!.data;
  return success({
    inputs,
    positive: severity! >= manifest.thresholds['severity']!,
    findings: [],
    contributions: contributionsOf(severity!, without, values, manifest),
    summary: { severity: severity!, observed: outputs['observed']!.data[0]! },
  });
};
