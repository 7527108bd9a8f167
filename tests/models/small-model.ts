import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../../models/manifest.js';

const description = 'Two numbers';
/** What the small model states of its graph: two numbers in, two out. */
export const stated: Pick<Manifest['graph'], 'inputs' | 'outputs'> = {
  inputs: [{ name: 'x', type: 'float32', shape: [2], description }],
  outputs: [{ name: 'y', type: 'float32', shape: [2], description }],
};

const coding = { system: 'http://snomed.info/sct', code: '51185008', display: 'Thoracic structure' };

/** Writes the folder of a model with such a graph; the manifest's hash is the graph's. */
export async function smallModel(
  root: string,
  name: string,
  graph: Buffer,
  { pipeline, ...changes }: Omit<Partial<Manifest>, 'pipeline'> & { pipeline?: string } = {},
): Promise<void> {
  const folder = join(root, name);
  const manifest = {
    name,
    version: '1.0.0',
    title: 'A model of the tests',
    licence: { use: 'unrestricted', graph: 'Apache-2.0', data: [] },
    task: 'classification',
    accepts: { modality: ['CT'], bodySite: [coding], bodyPartExamined: [], transferSyntaxes: ['1.2.840.10008.1.2.1'] },
    graph: { file: 'model.onnx', sha256: createHash('sha256').update(graph).digest('hex'), ...stated },
    parameters: {},
    thresholds: {},
    findingCodes: [coding],
    summary: { count: { code: coding, unit: '1' } },
    limitsOfUse: ['Not for clinical use without approval.'],
    selfTest: {
      feeds: { x: { shape: [2], background: 1 } },
      expect: [{ output: 'y', index: 0, value: 1, tolerance: 0.01 }],
    },
    ...changes,
  };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'model.onnx'), graph);
  await writeFile(join(folder, 'model-card.md'), 'Version 1.0.0. Not for clinical use without approval.');
  if (pipeline) await writeFile(join(folder, 'pipeline.js'), pipeline);
}
