// Builds the program: every TypeScript file of the source folders to BUILD_DIR (default dist/), with source maps.
// Types are checked apart, by `npm run typecheck`: building takes under a second, checking takes several.
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transformFile } from '@swc/core';

const sources = ['hub', 'connectors', 'policies', 'fhir-profiles', 'models', 'reports', 'tests'];
const out = process.env.BUILD_DIR ?? 'dist';

async function files(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((e) => e.isFile()).map((e) => join(e.parentPath ?? e.path, e.name));
}

async function build(file) {
  const target = join(out, file);
  await mkdir(dirname(target), { recursive: true });
  if (!file.endsWith('.ts')) return cp(file, target);
  if (file.endsWith('.d.ts')) return undefined;
  const { code } = await transformFile(file, {
    swcrc: false,
    sourceMaps: 'inline',
    module: { type: 'es6' },
    jsc: { target: 'es2022', parser: { syntax: 'typescript' }, keepClassNames: true },
  });
  return writeFile(target.replace(/\.ts$/, '.js'), code);
}

if (out === 'dist') await rm(out, { recursive: true, force: true });
const all = (await Promise.all(sources.map(files))).flat().filter((f) => !f.includes('/train/'));
await Promise.all(all.map(build));
execFileSync(process.execPath, [join(out, 'fhir-profiles/prune-definitions.js')], { stdio: 'inherit' });
console.log(`built ${all.length} files to ${out}/`);
