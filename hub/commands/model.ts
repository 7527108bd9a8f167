import { loadModelPackage, modelNames, type ModelPackage, modelsFolder } from '../../models/model-package.js';
import { checkModelPackage } from '../../models/runtime.js';
import { confinement } from '../../models/sandbox/confinement.js';
import { loadConfig } from '../config.js';
import { licenceForbids } from '../scoring/carried-models.js';
import { table } from './operate.js';

interface ModelOptions {
  /** Where the model folders lie. Default: those of the project. */
  folder?: string;
}

/** `hub model list`: every model folder, also one that does not load, with the reason. Exit status 1 when there is one. */
export async function listModelsTable({ folder = modelsFolder }: ModelOptions): Promise<void> {
  const names = await modelNames(folder);
  if (names.length === 0) return console.log('no model');
  const rows = await Promise.all(names.map((name) => describeModel(name, folder)));
  console.log(table(rows));
  if (rows.some(({ state }) => state?.startsWith('BROKEN'))) process.exitCode = 1;
}

async function describeModel(name: string, folder: string): Promise<Record<string, string>> {
  const loaded = await loadModelPackage(name, folder);
  if (!loaded.ok)
    return { name, version: '', modality: '', 'memory MiB': '', licence: '', sha256: '', state: `BROKEN: ${loaded.message}` };
  const { version, accepts, licence, graph, resources } = loaded.value.manifest;
  return {
    name,
    version,
    modality: accepts.modality.join(','),
    'memory MiB': String(resources.memoryMb),
    licence: licence.graph,
    sha256: graph.sha256.slice(0, 16),
    state: stateOf(loaded.value),
  };
}

function stateOf({ manifest, runnable }: ModelPackage): string {
  if (!runnable) return 'graph only';
  const reason = licenceForbids(manifest, loadConfig());
  return reason ? `not carried: ${reason}` : manifest.licence.use === 'research-only' ? 'ok, research only' : 'ok';
}

/** `hub model check [name]`: manifest, hash, graph and self-test, in the process that would score, and this machine's walls around that process. Exit status 1 when a model fails. */
export async function checkModels(name: string | undefined, { folder = modelsFolder }: ModelOptions): Promise<void> {
  const names = name ? [name] : await modelNames(folder);
  if (names.length === 0) throw new Error('no model');
  for (const each of names) {
    const checks = await checkModelPackage(each, folder);
    for (const { check, ok, detail } of checks) console.log(`${ok ? 'ok  ' : 'FAIL'} ${each} ${check}: ${detail}`);
    if (checks.some(({ ok }) => !ok)) process.exitCode = 1;
  }
  const { walls } = await confinement();
  for (const { name: wall, holds, detail } of walls) console.log(`${holds ? 'ok  ' : 'WARN'} scoring process ${wall}: ${detail}`);
}
