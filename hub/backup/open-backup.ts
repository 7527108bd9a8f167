import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupKeys, type Manifest, openManifest, type TableInBackup } from './manifest.js';

/** A backup whose files are those that were written, and whose keys are at hand. */
export interface OpenBackup {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly keys: BackupKeys;
}

export const fileOf = (folder: string, table: string): string => join(folder, 'tables', table);

/**
 * Opens a backup and reads every file of it once: nothing is written anywhere before all of it has been seen to be whole.
 * @param secrets the configured ones @throws Error that names what is missing or was changed
 */
export async function openBackup(
  folder: string,
  secrets: readonly string[],
  progress: (line: string) => void = () => undefined,
): Promise<OpenBackup> {
  const { manifest, keys } = await openManifest(folder, secrets);
  let seen = 0;
  let told = performance.now();
  const all = manifest.tables.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const table of manifest.tables) {
    await assertWhole(folder, table);
    seen += table.bytes;
    if (performance.now() - told < 5000) continue;
    told = performance.now();
    progress(`${Math.floor((seen / all) * 100)} % of the files checked`);
  }
  return { folder, manifest, keys };
}

async function assertWhole(folder: string, { name, bytes, sha256 }: TableInBackup): Promise<void> {
  const path = fileOf(folder, name);
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) throw new Error(`the backup is not whole: ${path} is missing`);
  const digest = createHash('sha256');
  if (size === bytes)
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) digest.update(chunk as Buffer);
  if (size !== bytes || digest.digest('hex') !== sha256)
    throw new Error(`the backup is not whole: ${path} is not the file that was written`);
}
