import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the program's code lies: the folder above `models`. */
const program = fileURLToPath(new URL('../..', import.meta.url));
/** What the models' code is made of. */
const codeFolders = ['models', 'connectors/dicom', 'fhir-profiles'].map((folder) => asFolder(join(program, folder)));

/**
 * Arguments of Node for the scoring process: its permission model lets it read the program's code and what it is given, write nothing,
 * and start neither processes nor threads of its own. Native code is let in for onnxruntime (see close-doors.ts for what that leaves open).
 * @param folders that it may read, at any depth.
 */
export function nodeArguments(folders: string[], memoryBytes: number): string[] {
  // Its name as of Node 23.5; the older one goes on to work, with a warning.
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
  const readable = [...codeFolders, ...libraries(), ...folders.map(asFolder)];
  const allowed = outermost(readable).map((path) => `--allow-fs-read=${path}`);
  return [
    permission,
    '--allow-addons',
    ...allowed,
    '--disable-proto=delete',
    '--no-warnings',
    `--max-old-space-size=${Math.floor(memoryBytes / 1024 ** 2)}`,
  ];
}

/** A separator at its end makes Node take a path for a folder with all that lies in it. */
function asFolder(path: string): string {
  return path.endsWith(sep) ? path : path + sep;
}

/** Without those that lie in another one: Node 20 ends with a fault of its own when it is given both. */
function outermost(paths: string[]): string[] {
  const unique = [...new Set(paths)];
  return unique.filter((path) => !unique.some((other) => other !== path && other.endsWith(sep) && path.startsWith(other)));
}

/** The installed packages and the file that says how this one's are to be read, by both names where a link leads to them. */
function libraries(): string[] {
  const resolved = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const packages = asFolder(dirname(dirname(resolved)));
  const paths = [
    packages,
    asFolder(realpathSync(packages)),
    join(dirname(dirname(packages)), 'package.json'),
    join(program, 'package.json'),
  ];
  return paths;
}
