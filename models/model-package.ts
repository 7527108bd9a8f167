import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Manifest, manifestSchema } from './manifest.js';
import { failure, type Outcome, success } from './outcome.js';

/** A model folder whose manifest is valid and whose graph is the one that the manifest names. */
export interface ModelPackage {
  manifest: Manifest;
  folder: string;
  /** Whether the folder holds the code that makes a study ready for the graph; without it the graph can be checked, not used. */
  runnable: boolean;
}

/** Where the models of the project lie: one folder each. */
export const modelsFolder = fileURLToPath(new URL('.', import.meta.url));

const largestGraph = 2 * 1024 ** 3;

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

/** Loads a model by name. `invalid-model` where there is none, its manifest is wrong, or the graph's hash differs. */
export async function loadModelPackage(name: string, root = modelsFolder): Promise<Outcome<ModelPackage>> {
  // The name becomes part of a path, so it must be a plain name.
  if (!/^[a-z][a-z0-9-]{2,63}$/.test(name)) return failure('invalid-model', 'There is no such model.');
  const folder = join(root, name);
  const manifest = await readManifest(folder);
  if (!manifest.ok) return manifest;
  if (manifest.value.name !== name) return failure('invalid-model', 'The manifest names another model than its folder.');
  for (const stated of graphsOf(manifest.value).values()) {
    const graph = await readGraph(folder, stated);
    if (!graph.ok) return graph;
  }
  return success({ manifest: manifest.value, folder, runnable: existsSync(join(folder, 'pipeline.js')) });
}

async function readManifest(folder: string): Promise<Outcome<Manifest>> {
  const text = await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return failure('invalid-model', 'There is no such model.');
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

/** A graph's bytes, checked against the hash in the manifest: those that are checked are those that run. */
export async function readGraph(folder: string, graph: { file: string; sha256: string }): Promise<Outcome<Buffer>> {
  const bytes = await readFile(join(folder, graph.file)).catch(() => undefined);
  if (!bytes || bytes.length > largestGraph) return failure('invalid-model', 'The model has no graph.');
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return sha256 === graph.sha256 ? success(bytes) : failure('invalid-model', 'The hash of the graph differs from the manifest.');
}
