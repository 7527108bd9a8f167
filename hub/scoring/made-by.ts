import { cpus } from 'node:os';
import type { Manifest } from '../../models/manifest.js';
import { codeDigest, type CodeDigest } from '../../models/code-digest.js';

/** What a score is made with beside its graphs and its runtime. */
export interface MadeBy extends CodeDigest {
  /** Processor model: another one may round otherwise. */
  cpu: string;
}

/** As it lies on this machine now. */
export async function madeBy(model: Manifest, modelsRoot?: string): Promise<MadeBy> {
  return { ...(await codeDigest(model, modelsRoot)), cpu: cpus()[0]?.model.trim() ?? 'unknown' };
}
