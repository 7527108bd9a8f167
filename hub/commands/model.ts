import { listModels } from '../../models/model-package.js';
import { checkModelPackage } from '../../models/runtime.js';
import { table } from './operate.js';

/** `hub model list`. */
export async function listModelsTable(): Promise<void> {
  const models = await listModels();
  console.log(
    table(
      models.map(({ manifest }) => ({
        name: manifest.name,
        version: manifest.version,
        modality: manifest.accepts.modality.join(','),
        licence: manifest.licence,
        sha256: manifest.graph.sha256.slice(0, 16),
      })),
    ),
  );
}

/** `hub model check [name]`: manifest, hash, graph and self-test, in the process that would score. Exit status 1 when one fails. */
export async function checkModels(name?: string): Promise<void> {
  const names = name ? [name] : (await listModels()).map(({ manifest }) => manifest.name);
  if (names.length === 0) throw new Error('no model');
  for (const each of names) {
    const checks = await checkModelPackage(each);
    for (const { check, ok, detail } of checks) console.log(`${ok ? 'ok  ' : 'FAIL'} ${each} ${check}: ${detail}`);
    if (checks.some(({ ok }) => !ok)) process.exitCode = 1;
  }
}
