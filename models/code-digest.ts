import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Manifest } from './manifest.js';
import { modelNames, modelsFolder } from './model-package.js';

/** What runs a model beside its graphs: SHA-256 (hex) of its manifest, and of all code that a score can depend on. */
export interface CodeDigest {
  manifestSha256: string;
  codeSha256: string;
}

/** Not run when a study is scored. */
const ASIDE = new Set(['train', 'phantoms']);

/**
 * Digests of the files as they lie on disk now: the model's manifest; its code, or that of the model whose code it borrows, the code that models share, the reading and decoding of DICOM objects, and the
 * versions of the codecs.
 */
export async function codeDigest({ name, pipeline = name }: Manifest, root = modelsFolder): Promise<CodeDigest> {
  const others = (await modelNames(modelsFolder)).filter((other) => other !== pipeline);
  const hash = createHash('sha256');
  const programs = [
    ...(await scriptsIn(modelsFolder, new Set([...ASIDE, ...others]))),
    ...(await scriptsIn(join(modelsFolder, '..', 'connectors', 'dicom'), ASIDE)),
  ];
  for (const path of programs) {
    const text = await readFile(path, 'utf8');
    hash.update(`${relative(join(modelsFolder, '..'), path).split(sep).join('/')}\n${withoutSourceMap(text)}\n`);
  }
  hash.update(JSON.stringify(await codecVersions()));
  const manifest = await readFile(join(root, name, 'manifest.json'));
  return { manifestSha256: createHash('sha256').update(manifest).digest('hex'), codeSha256: hash.digest('hex') };
}

/** @param without names of folders at the top that are left out. */
async function scriptsIn(folder: string, without: ReadonlySet<string>): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !without.has(relative(folder, path).split(sep)[0] ?? ''))
    .sort();
}

/** A source map says where the program was built. */
const withoutSourceMap = (text: string): string => text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '');

async function codecVersions(): Promise<[string, unknown][]> {
  const text = await readFile(join(modelsFolder, '..', '..', 'package.json'), 'utf8').catch(() => '{}');
  const { dependencies = {} } = JSON.parse(text) as { dependencies?: Record<string, unknown> };
  return Object.entries(dependencies).filter(([dependency]) => dependency.startsWith('@cornerstonejs/'));
}
