import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadModelPackage } from '../../models/model-package.js';
import type { Outcome } from '../../models/outcome.js';
import { checkModelPackage, scoreStudy } from '../../models/runtime.js';
import { confinement } from '../../models/sandbox/confinement.js';
import { type ProcessLimits, runProcess } from '../../models/sandbox/run-process.js';
import { smallModel } from './small-model.js';
import { withFolder } from './support.js';
import { type Field, integers, model, node, valueInfo } from './write-onnx.js';

const graphOf = (...nodes: Field[]) => model({ graph: [...nodes, valueInfo(11, 'x', [2]), valueInfo(12, 'y', [2])] });
const harmless = graphOf(node('Abs', ['x'], ['y']));
const MB = 1024 ** 2;

/** A server of the hub's machine, such as its database: counts who comes. */
const database = createServer(() => {
  visitors++;
});
let visitors = 0;
const portOf = () => (database.address() as AddressInfo).port;
beforeAll(() => new Promise<void>((resolve) => database.listen(0, '127.0.0.1', resolve)));
afterAll(() => new Promise<void>((resolve) => database.close(() => resolve())));

/** What a model's code that means harm would do; each tells what came of it. */
const attempts: Record<string, string> = {
  'read /etc/passwd': `fs.readFileSync('/etc/passwd')`,
  'read the secrets of its parent': `fs.readFileSync('/proc/' + process.ppid + '/environ')`,
  'read the hub’s code': `fs.readFileSync(new URL('../../hub/main.js', import.meta.url))`,
  'find a variable of the environment': `if (Object.keys(process.env).length === 0) throw new Error('none')`,
  'write beside its files': `fs.writeFileSync(files[0] + '.x', 'x')`,
  'write to the temporary folder': `fs.writeFileSync('/tmp/hostile-was-here', 'x')`,
  'delete its files': `fs.unlinkSync(files[0])`,
  'link out of its folder': `fs.symlinkSync('/etc/passwd', files[0] + '.link')`,
  'start a program': `const done = child.spawnSync('true'); if (done.error) throw done.error`,
  'fork itself': `child.fork(files[0])`,
  'start a thread': `new worker.Worker('1', { eval: true })`,
  'connect to the database': `await new Promise((y, n) => net.connect(port, '127.0.0.1').on('connect', y).on('error', n))`,
  'fetch a page': `await fetch('http://127.0.0.1:' + port)`,
  listen: `await new Promise((y, n) => net.createServer().on('error', n).listen(0, y))`,
  'send a datagram': `dgram.createSocket('udp4')`,
  'ask for a name': `await new Promise((y, n) => dns.lookup('localhost', (e) => (e ? n(e) : y())))`,
  'stop its parent': `process.kill(process.ppid, 'SIGSTOP')`,
  'load native code': `process.dlopen({ exports: {} }, '/usr/lib/anything.node')`,
  'reach into Node': `process.binding('tcp_wrap')`,
  'open the debugger': `(await import('node:inspector')).open(0)`,
};

const imports = `
  import child from 'node:child_process'; import dgram from 'node:dgram'; import dns from 'node:dns'; import fs from 'node:fs';
  import net from 'node:net'; import worker from 'node:worker_threads';`;
const asCode = (body: string) => `${imports}
  export const score = async ({ files }, { parameters: { port } }, tools) => { ${body} };`;
const tellAll = `const told = {};
  ${Object.entries(attempts)
    .map(
      ([name, act]) =>
        `try { ${act}; told[${JSON.stringify(name)}] = 'done'; } catch { told[${JSON.stringify(name)}] = 'refused'; }`,
    )
    .join('\n')}
  return { ok: false, code: 'malformed-input', message: JSON.stringify(told) };`;

/** Lets the scoring process run such code, as if it were a model's of the project, on one file in a folder of its own. */
function runCode(body: string, limits: ProcessLimits = {}): Promise<Outcome<unknown> & { left: string[] }> {
  return withFolder(async (root) => {
    await smallModel(root, 'hostile-model', harmless, { parameters: { port: portOf() } });
    const [pipeline, job] = [join(root, 'hostile-model', 'pipeline.mjs'), join(root, 'job')];
    await writeFile(pipeline, asCode(body));
    await mkdir(job);
    await writeFile(join(job, '1.dcm'), 'pixels');
    const given = { files: [join(job, '1.dcm')], observations: [] };
    const task = { kind: 'score', folder: join(root, 'hostile-model'), pipeline, given, threads: 1, thresholds: {} } as const;
    const answer = await runProcess(task, { timeoutMs: 120_000, ...limits });
    const outcome = 'code' in answer ? answer : answer.kind === 'scored' ? answer.outcome : undefined;
    return { ...outcome!, left: await readdir(job) };
  });
}

describe('code in the scoring process', () => {
  it('reads its own files and does nothing else', async () => {
    const outcome = await runCode(`return { ok: false, code: 'malformed-input', message: fs.readFileSync(files[0], 'utf8') };`);
    expect(outcome).toMatchObject({ code: 'malformed-input', message: 'pixels', left: ['1.dcm'] });
    const hostile = await runCode(tellAll);
    expect(hostile).toMatchObject({ code: 'malformed-input', left: ['1.dcm'] });
    const told = JSON.parse(hostile.ok ? '{}' : hostile.message);
    expect(told).toEqual(Object.fromEntries(Object.keys(attempts).map((name) => [name, 'refused'])));
    expect(visitors).toBe(0);
  });

  it.each<[string, string, ProcessLimits, string]>([
    ['never ends', 'for (;;) {}', { timeoutMs: 3000 }, 'timeout'],
    ['takes too much processor time', 'for (;;) {}', { cpuSeconds: 2 }, 'timeout'],
    [
      'fills its heap',
      'const all = []; for (;;) all.push(new Array(1000).fill(1.5));',
      { memoryLimitBytes: 200 * MB },
      'out-of-memory',
    ],
    [
      'fills memory outside its heap',
      'const all = []; for (;;) all.push(Buffer.alloc(1 << 22, 1));',
      { memoryLimitBytes: 200 * MB },
      'out-of-memory',
    ],
    ['leaves', 'process.exit(0);', {}, 'crashed'],
    ['aborts', 'process.abort();', {}, 'crashed'],
    ['fails', 'throw new Error(process.cwd());', {}, 'crashed'],
  ])('that %s is ended, with the reason', async (_what, body, limits, code) => {
    expect(await runCode(body, limits)).toMatchObject({ ok: false, code, left: ['1.dcm'] });
  });
});

describe('a graph that asks for more than there is', () => {
  const ended = (big: Field, sizes: number[]) =>
    graphOf(
      node('Constant', [], ['n'], integers('value', sizes)),
      big,
      node('ReduceMax', ['big'], ['one']),
      node('Squeeze', ['one'], ['most']),
      node('Add', ['x', 'most'], ['y']),
    );
  it.each<[string, Buffer]>([
    ['by a constant', ended(node('ConstantOfShape', ['n'], ['big']), [2 ** 34])],
    ['by expanding its input', ended(node('Expand', ['x', 'n'], ['big']), [2 ** 30, 2])],
    ['by tiling its input', ended(node('Tile', ['x', 'n'], ['big']), [2 ** 33])],
  ])('%s fails its check, and the check ends', async (_how, graph) => {
    await withFolder(async (root) => {
      await smallModel(root, 'greedy-model', graph);
      const checks = await checkModelPackage('greedy-model', root, { memoryLimitBytes: 300 * MB, timeoutMs: 120_000 });
      expect(checks.filter(({ ok }) => !ok)).toEqual([
        { check: 'graph', ok: false, detail: 'Scoring needs more memory than it may use.' },
      ]);
    });
  });
});

describe('a model from another place than the project', () => {
  it('brings no code', () =>
    withFolder(async (root) => {
      await smallModel(root, 'foreign-model', harmless, { pipeline: `export const score = () => process.exit(0);` });
      expect(await loadModelPackage('foreign-model', root)).toMatchObject({ ok: true });
      expect(await loadModelPackage('foreign-model', root)).not.toHaveProperty('value.pipeline');
      expect(await scoreStudy({ model: 'foreign-model', modelsRoot: root, files: ['x'] })).toMatchObject({
        ok: false,
        code: 'invalid-model',
      });
    }));
});

it('the machine’s walls around the scoring process are known, and each says what it is or why it is missing', async () => {
  const { walls } = await confinement();
  expect(walls.map(({ name }) => name)).toEqual(['network', 'privileges', 'resources']);
  for (const { holds, detail } of walls) expect(detail.startsWith('missing: ')).toBe(!holds);
  expect(await readFile('/tmp/hostile-was-here', 'utf8').catch(() => 'none')).toBe('none');
});
