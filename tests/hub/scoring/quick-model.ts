/** A model that costs next to nothing, for tests of what is around the models: a folder with manifest, card, a graph of one node, and its code. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelsFolder } from '../../../models/model-package.js';

export const QUICK_MODEL = 'quick-model';

/** A folder for models of a test: within the program, because models' code comes from nowhere else, and not among its models. */
export const quickModelsFolder = () => mkdtemp(join(fileURLToPath(new URL('.', import.meta.url)), 'models-'));

/** Writes `quick-model` below `root`. It takes `steps` times `stepMs` and tells its progress; a `memoryMb` as its jobs need. */
export async function writeQuickModel(
  root: string,
  of: { steps?: number; stepMs?: number; memoryMb?: number; name?: string } = {},
) {
  const name = of.name ?? QUICK_MODEL;
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  const template = JSON.parse(await readFile(join(modelsFolder, 'pulmonary-nodule', 'manifest.json'), 'utf8'));
  const tensor = (called: string) => ({ name: called, type: 'float32', shape: [1], description: 'a number' });
  const manifest = {
    ...template,
    name,
    title: 'Quick model',
    graph: { file: 'model.onnx', sha256: digestOf(relu), inputs: [tensor('x')], outputs: [tensor('y')] },
    furtherGraphs: {},
    parameters: { steps: of.steps ?? 2, stepMs: of.stepMs ?? 10 },
    resources: { memoryMb: of.memoryMb ?? 512 },
  };
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'model.onnx'), relu);
  await writeFile(join(folder, 'model-card.md'), `Quick model ${template.version}. Not for clinical use without approval.\n`);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'pipeline.js'), CODE);
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Reads no pixels: the UIDs of the first file as they lie in it (explicit VR, little endian). */
const CODE = `
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const uid = (bytes, tag) => {
  const at = bytes.indexOf(Buffer.concat([Buffer.from(tag), Buffer.from('UI')])) + 6;
  return bytes.subarray(at + 2, at + 2 + bytes.readUInt16LE(at)).toString('latin1').replaceAll('\\0', '');
};

export async function score({ files }, { parameters: { steps, stepMs } }, { run, stage, progress }) {
  const read = await Promise.all(files.map((file) => readFile(file)));
  stage('computing');
  await run({ x: { data: Float32Array.of(1), shape: [1] } });
  for (let step = 1; step <= steps; step++) {
    await sleep(stepMs);
    progress(step / steps);
  }
  stage('measuring');
  const inputs = read.map((bytes) => ({
    sopInstanceUid: uid(bytes, [8, 0, 0x18, 0]),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }));
  const [first] = read;
  const [studyInstanceUid, seriesInstanceUid] = [uid(first, [0x20, 0, 0x0d, 0]), uid(first, [0x20, 0, 0x0e, 0])];
  return { ok: true, value: { studyInstanceUid, seriesInstanceUid, inputs, positive: false, findings: [], summary: {} } };
}
`;

/** ONNX (onnx.proto3): y = Relu(x), one float each. */
const relu = (() => {
  const varint = (field: number, value: number) => [field * 8, value];
  const bytes = (field: number, content: readonly number[]) => [field * 8 + 2, content.length, ...content];
  const text = (field: number, content: string) => bytes(field, [...Buffer.from(content)]);
  const shape = bytes(2, bytes(1, varint(1, 1)));
  const value = (name: string) => [...text(1, name), ...bytes(2, bytes(1, [...varint(1, 1), ...shape]))];
  const node = [...text(1, 'x'), ...text(2, 'y'), ...text(4, 'Relu')];
  const graph = [...bytes(1, node), ...text(2, 'quick'), ...bytes(11, value('x')), ...bytes(12, value('y'))];
  return Uint8Array.from([...varint(1, 8), ...bytes(7, graph), ...bytes(8, varint(2, 17))]);
})();
