import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkGraph } from './graph/check-graph.js';
import { graphLimits } from './graph/read-graph.js';
import { type Manifest, manifestSchema } from './manifest.js';
import { failure, type Outcome, success } from './outcome.js';

/** A model folder whose manifest is valid and whose graph is the one that the manifest names. */
export interface ModelPackage {
  manifest: Manifest;
  folder: string;
  /** Whether there is code that makes a study ready for the graph; without it the graph can be checked, not used. */
  runnable: boolean;
  /** File of that code. */
  pipeline?: string;
}

/** Where the models of the project lie: one folder each. */
export const modelsFolder = fileURLToPath(new URL('.', import.meta.url));

const programFolder = fileURLToPath(new URL('..', import.meta.url));

/** Names of the folders that hold a manifest, whether it is right or wrong. */
export async function modelNames(root = modelsFolder): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory() && existsSync(join(root, entry.name, 'manifest.json')));
  return folders.map((entry) => entry.name).sort();
}

/** Every model whose folder loads, by name. */
export async function listModels(root = modelsFolder): Promise<ModelPackage[]> {
  const loaded = await Promise.all((await modelNames(root)).map((name) => loadModelPackage(name, root)));
  return loaded.flatMap((outcome) => (outcome.ok ? [outcome.value] : []));
}

/** Loads a model by name. `invalid-model` where there is none, its manifest is wrong, a graph's hash differs, or a graph may not run. */
export async function loadModelPackage(name: string, root = modelsFolder): Promise<Outcome<ModelPackage>> {
  const model = await locateModel(name, root);
  if (!model.ok) return model;
  for (const stated of graphsOf(model.value.manifest).values()) {
    const graph = await readGraph(model.value.folder, stated);
    if (!graph.ok) return graph;
  }
  return model;
}

/** A model by its manifest and code alone: its graphs are read by the process that runs them. */
export async function locateModel(name: string, root = modelsFolder): Promise<Outcome<ModelPackage>> {
  const manifest = await readManifest(name, root);
  if (!manifest.ok) return manifest;
  const folder = resolve(root, name);
  const pipeline = await pipelineOf(manifest.value, folder);
  return success({ manifest: manifest.value, folder, runnable: pipeline !== undefined, ...(pipeline ? { pipeline } : {}) });
}

/** Code comes from the program's own folders alone; another folder's manifest can name one of the project's models whose code fits its graph. */
async function pipelineOf(manifest: Manifest, folder: string): Promise<string | undefined> {
  const isOwn = folder.startsWith(programFolder);
  const lender = isOwn ? undefined : await lenderOf(manifest);
  if (!isOwn && !lender) return undefined;
  const path = join(lender ?? folder, 'pipeline.js');
  return existsSync(path) ? path : undefined;
}

async function lenderOf({ pipeline, ...manifest }: Manifest): Promise<string | undefined> {
  const lender = pipeline ? await readManifest(pipeline, modelsFolder) : undefined;
  if (!lender?.ok || describeGraphs(lender.value) !== describeGraphs(manifest)) return undefined;
  return join(modelsFolder, lender.value.name);
}

/** Names and shapes of what goes into each graph and comes out of it. */
function describeGraphs(manifest: Manifest): string {
  const tensors = (given: Manifest['graph']['inputs']) => given.map(({ name, type, shape }) => [name, type, shape]);
  return JSON.stringify([...graphsOf(manifest)].map(([name, { inputs, outputs }]) => [name, tensors(inputs), tensors(outputs)]));
}

/** Reads the manifest of a model by name; it must be valid and name this model. */
export async function readManifest(name: string, root: string): Promise<Outcome<Manifest>> {
  // The name becomes part of a path, so it must be a plain name.
  if (!/^[a-z][a-z0-9-]{2,63}$/.test(name)) return failure('invalid-model', 'There is no such model.');
  const text = await readFile(join(root, name, 'manifest.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return failure('invalid-model', 'There is no such model.');
  const manifest = parseManifest(text);
  if (manifest.ok && manifest.value.name !== name)
    return failure('invalid-model', 'The manifest names another model than its folder.');
  return manifest;
}

function parseManifest(text: string): Outcome<Manifest> {
  try {
    const parsed = manifestSchema.safeParse(JSON.parse(text));
    if (parsed.success) return success(parsed.data);
    const [issue] = parsed.error.issues;
    return failure('invalid-model', `The manifest is wrong at ${issue?.path.join('.')}: ${issue?.message}`);
  } catch {
    return failure('invalid-model', 'The manifest is not JSON.');
  }
}

/** The name of a model's own graph beside its further ones. */
export const mainGraph = 'main';

/** The graphs of a model by name. */
export const graphsOf = ({ graph, furtherGraphs }: Manifest): Map<string, Manifest['furtherGraphs'][string]> =>
  new Map([[mainGraph, graph], ...Object.entries(furtherGraphs)]);

/** A graph's bytes, checked against the hash in the manifest and then for what they hold: those that are checked are those that run. */
export async function readGraph(folder: string, stated: Manifest['furtherGraphs'][string]): Promise<Outcome<Buffer>> {
  const bytes = await readHashed(folder, stated);
  if (!bytes.ok) return bytes;
  const { faults } = checkGraph(bytes.value, stated);
  return faults.length === 0 ? bytes : failure('invalid-model', faults.join(' '));
}

/** A graph's bytes, checked against the hash in the manifest alone. */
export async function readHashed(folder: string, { file, sha256 }: { file: string; sha256: string }): Promise<Outcome<Buffer>> {
  const path = join(folder, file);
  const size = await stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
  if (size === undefined) return failure('invalid-model', 'The model has no graph.');
  if (size > graphLimits.bytes) return failure('invalid-model', `The graph is larger than ${graphLimits.bytes} bytes.`);
  const bytes = await readFile(path);
  const actual = createHash('sha256').update(bytes).digest('hex');
  return actual === sha256 ? success(bytes) : failure('invalid-model', 'The hash of the graph differs from the manifest.');
}
