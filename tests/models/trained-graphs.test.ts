import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { loadModels } from '../../hub/scoring/models.js';
import { readGraphProto } from '../../models/graph/read-graph.js';
import type { Manifest } from '../../models/manifest.js';
import { loadModelPackage, type ModelPackage, modelsFolder } from '../../models/model-package.js';
import { checkModelPackage, scoreStudy } from '../../models/runtime.js';
import type { OutputSeen } from './run-graph.js';

/** Every model folder, also one within another. */
async function everyModel(): Promise<ModelPackage[]> {
  const entries = await readdir(modelsFolder, { recursive: true });
  const folders = entries
    .filter((entry) => basename(entry) === 'manifest.json')
    .map((entry) => join(modelsFolder, dirname(entry)));
  const loaded = await Promise.all(folders.map((folder) => loadModelPackage(basename(folder), dirname(folder))));
  return loaded.map((outcome) => {
    if (!outcome.ok) throw new Error(outcome.message);
    return outcome.value;
  });
}

const models = await everyModel();
/** Sizes for those that vary: of a volume, or of an image that is neither square nor even. */
const sizesOf = ({ graph }: Manifest): Record<string, number> => {
  const isVolume = graph.inputs.some(({ shape }) => shape.includes('planes'));
  return { samples: 3, patches: 3, planes: 44, ...(isVolume ? { rows: 46, columns: 48 } : { rows: 301, columns: 387 }) };
};
const sized = (shape: (number | string)[], manifest: Manifest): number[] =>
  shape.map((size) => (typeof size === 'number' ? size : sizesOf(manifest)[size]!));
const inZeroToOne = ['probability', 'severity', 'referable', 'grades', 'heat_map'];

describe.each(models.map((model) => [model.manifest.name, model] as const))('the graph of %s', (_name, { manifest, folder }) => {
  it('is one file under 20 MB of standard operators, opset 18 or older', async () => {
    const bytes = await readFile(join(folder, 'model.onnx'));
    expect(bytes.length).toBeLessThan(20e6);
    const { opsets, operators, faults } = readGraphProto(bytes);
    expect(faults).toEqual([]);
    expect(opsets.get('')).toBeLessThanOrEqual(18);
    expect(operators.size).toBeGreaterThan(5);
  });

  it('gives outputs of the shapes that its manifest states, finite, probabilities between 0 and 1', async () => {
    const seen = await runGraph(join(folder, 'model.onnx'), manifest);
    for (const { name, shape } of manifest.graph.outputs) {
      const output = seen[name]!;
      expect({ name, shape: output.shape, finite: output.finite }).toEqual({ name, shape: sized(shape, manifest), finite: true });
      if (inZeroToOne.includes(name)) expect([output.low >= 0, output.high <= 1]).toEqual([true, true]);
    }
  });

  it('says what it was trained on, and who may use it', async () => {
    const card = await readFile(join(folder, 'model-card.md'), 'utf8');
    expect(card.split('Not for clinical use without approval')).toHaveLength(2);
    const restricted = manifest.licence.data.some(({ licence }) => /-NC-|research-only/i.test(licence));
    expect(manifest.licence.use).toBe(restricted ? 'research-only' : 'unrestricted');
    const fitted = manifest.licence.data.length > 0;
    const recipes = ['', ...furtherFolders(manifest)].map((within) => join(sourceOf(folder), within, 'train/train.py'));
    expect(recipes.some((recipe) => existsSync(recipe))).toBe(fitted);
  });

  it('comes with further graphs that are those of their own folders', async () => {
    for (const [name, { sha256, inputs, outputs }] of Object.entries(manifest.furtherGraphs)) {
      const own = await loadModelPackage(name, folder);
      expect(own.ok && own.value.manifest.graph).toMatchObject({ sha256, inputs, outputs });
    }
  });
});

it('a graph within the folder of another model passes every check too', async () => {
  const within = models.filter(({ folder }) => !isListed(folder));
  for (const { folder } of within) {
    const checks = await checkModelPackage(basename(folder), dirname(folder));
    expect(checks.map(({ check, ok }) => [check, ok])).toEqual(
      ['manifest', 'card', 'hash', 'content', 'graph', 'self-test'].map((check) => [check, true]),
    );
  }
});

it('a model without code before its graph is checked but never used', async () => {
  const idle = models.filter(({ runnable, folder }) => !runnable && isListed(folder));
  const used = await loadModels();
  for (const { manifest } of idle) {
    expect(used.has(manifest.name)).toBe(false);
    expect(await scoreStudy({ model: manifest.name, files: ['x'] })).toMatchObject({ ok: false, code: 'invalid-model' });
  }
  expect(used.has('pulmonary-nodule')).toBe(true);
});

const isListed = (folder: string): boolean => join(dirname(folder), '/') === modelsFolder;

const furtherFolders = ({ furtherGraphs }: Manifest): string[] => Object.values(furtherGraphs).map(({ file }) => dirname(file));

/** The recipes are not part of the build. */
const sourceOf = (folder: string): string => folder.replace(/\/dist\//, '/');

function runGraph(path: string, manifest: Manifest): Promise<Record<string, OutputSeen>> {
  const shapes = Object.fromEntries(manifest.graph.inputs.map(({ name, shape }) => [name, sized(shape, manifest)]));
  const script = fileURLToPath(new URL('./run-graph.js', import.meta.url));
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [script, path], { env: {} }, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout)),
    );
    child.stdin!.end(JSON.stringify(shapes));
  });
}
