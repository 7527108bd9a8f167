import type { Manifest } from '../../models/manifest.js';
import { listModels } from '../../models/model-package.js';
import type { ResourceRow } from '../store/resources.js';

/** The models that this hub carries, by name. */
export type Models = ReadonlyMap<string, Manifest>;

/** Reads the model folders; one that is not what its manifest says, or that no study can be made ready for, is left out. */
export async function loadModels(root?: string): Promise<Models> {
  const packages = await listModels(root);
  return new Map(packages.filter(({ runnable }) => runnable).map(({ manifest }) => [manifest.name, manifest]));
}

/**
 * Whether a model is made for a study, as far as the index can tell: a body site that is not stated does not speak against it. A laboratory's report fits
 * the models that read laboratory values; whether it holds enough of them is told when it is scored.
 */
export function accepts({ accepts: wanted }: Manifest, study: Pick<ResourceRow, 'type' | 'modality' | 'body_site'>): boolean {
  if (study.type === 'DiagnosticReport') return wanted.observations !== undefined;
  const sites = wanted.bodySite.map((site) => site.code);
  const stated = study.body_site.filter(Boolean);
  const fitsSite = stated.length === 0 || stated.some((code) => sites.includes(code));
  return fitsSite && study.modality.some((code) => wanted.modality.includes(code));
}
