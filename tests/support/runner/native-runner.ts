/**
 * Runs a test file as Node runs it, with jest-circus and Jest's reports around it. Jest's own way is a context of `node:vm` for each file, in which
 * the whole program is loaded anew: on Node 20 such modules are never freed, and loading took more of the machine than most files do.
 * What this changes: the files that one worker runs share the program's modules, as the hubs of one process do; each still has a database of its own.
 */
import { createRequire, register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { setGlobals } from './jest-globals.js';

const require = createRequire(import.meta.url);
const circus = require('jest-circus/runner').default as (...given: unknown[]) => Promise<unknown>;

register('./globals-hook.js', import.meta.url);

/** Of what jest-circus asks of its runtime, the part that loads modules; the rest is Jest's. */
export default function run(
  globalConfig: unknown,
  config: unknown,
  environment: unknown,
  runtime: object,
  path: string,
  ...more: unknown[]
) {
  const native = Object.create(runtime, {
    requireInternalModule: { value: fresh },
    unstable_shouldLoadAsEsm: { value: () => true },
    unstable_importModule: { value: (file: string) => import(pathToFileURL(file).href) },
    setGlobalsForRuntime: { value: setGlobals },
  });
  return circus(globalConfig, config, environment, native, path, ...more);
}

/** jest-circus keeps its state in its module and its handlers on the global object: each file gets new ones. */
function fresh(file: string): unknown {
  delete require.cache[file];
  delete (globalThis as Record<symbol, unknown>)[Symbol.for('EVENT_HANDLERS')];
  return require(file);
}
