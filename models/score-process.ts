/**
 * The scoring process: started by runtime.ts with no environment, it does the one task that it is sent and ends. It opens the model's
 * folder and the files it is given, nothing else. It steps back behind everything else on the machine before it starts any thread.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { drawTensor } from './draw-tensor.js';
import { type Manifest, manifestSchema } from './manifest.js';
import { graphsOf, mainGraph, readGraph } from './model-package.js';
import { failure, type Outcome, success } from './outcome.js';
import type { Score, Tensors } from './pipeline.js';
import { closeDoors } from './sandbox/close-doors.js';
import type { ModelCheck, ScoreMessage, Scored, ScoreStage, ScoreTask } from './score-messages.js';

setPriority(constants.priority.PRIORITY_LOW);
const onnxruntime: typeof import('onnxruntime-node') = createRequire(import.meta.url)('onnxruntime-node');
closeDoors();

process.on('disconnect', () => process.exit(1));
process.once('message', (task: ScoreTask) => void perform(task));

async function perform(task: ScoreTask): Promise<void> {
  const answer: ScoreMessage =
    task.kind === 'score'
      ? { kind: 'scored', outcome: await guarded(() => score(task)) }
      : { kind: 'checked', outcome: await guarded(() => check(task)) };
  process.send!(answer, () => process.exit(0));
}

/** Native code reports a full memory as an ordinary error. Other errors are told apart by nothing but the code: no detail leaves. */
async function guarded<T>(work: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await work();
  } catch (error) {
    const text = error instanceof Error ? `${error.name} ${error.message}` : String(error);
    if (/alloc|memory|more than \d+ bytes|Invalid typed array length|Array buffer/i.test(text))
      return failure('out-of-memory', 'Scoring needs more memory than it may use.');
    return failure('crashed', 'Scoring stopped with an unexpected error.');
  }
}

async function score(task: ScoreTask & { kind: 'score' }): Promise<Outcome<Scored>> {
  const opened = await open(task);
  if (!opened.ok) return opened;
  const { manifest: packaged, sessions } = opened.value;
  const manifest = { ...packaged, thresholds: { ...packaged.thresholds, ...task.thresholds } };
  const clock = stopwatch();
  clock.begin('reading');
  const pipeline = (await import(pathToFileURL(task.pipeline).href)) as { score: Score };
  const interpretation = await pipeline.score(task.given, manifest, {
    run: (feeds, graph = mainGraph) => run(sessions.get(graph)!, feeds),
    stage: clock.begin,
    progress: clock.progress,
  });
  if (!interpretation.ok) return interpretation;
  return success({
    ...interpretation.value,
    model: { name: manifest.name, version: manifest.version, sha256: manifest.graph.sha256 },
    runtime: { node: process.versions.node, onnxruntime: onnxruntimeVersion(), threads: task.threads },
    thresholds: manifest.thresholds,
    ...clock.end(),
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  });
}

async function check(task: ScoreTask): Promise<Outcome<ModelCheck[]>> {
  const opened = await open(task);
  if (!opened.ok) return opened;
  const { manifest, sessions } = opened.value;
  const checks = [...graphsOf(manifest)].map(([name, stated]) => isAsStated(stated, sessions.get(name)!));
  if (checks.every(({ ok }) => ok)) checks.push(await selfTest(manifest, sessions.get(mainGraph)!));
  return success(checks);
}

function isAsStated({ inputs, outputs }: Manifest['furtherGraphs'][string], session: InferenceSession): ModelCheck {
  const names = (tensors: { name: string }[]) => tensors.map(({ name }) => name).join(', ');
  const ok = names(inputs) === session.inputNames.join(', ') && names(outputs) === session.outputNames.join(', ');
  return { check: 'graph', ok, detail: `inputs ${session.inputNames.join(', ')}; outputs ${session.outputNames.join(', ')}` };
}

async function selfTest({ selfTest: { feeds, expect } }: Manifest, session: InferenceSession): Promise<ModelCheck> {
  const drawn = Object.fromEntries(Object.entries(feeds).map(([name, drawing]) => [name, drawTensor(drawing)]));
  const outputs = await run(session, drawn);
  const wrong = expect.filter(
    ({ output, index, value, tolerance }) => !(Math.abs((outputs[output]?.data[index] ?? Number.NaN) - value) <= tolerance),
  );
  const detail = wrong
    .map(({ output, index, value }) => `${output}[${index}] is ${outputs[output]?.data[index]}, not ${value}`)
    .join('; ');
  return { check: 'self-test', ok: wrong.length === 0, detail: detail || `${expect.length} values as expected` };
}

interface Opened {
  manifest: Manifest;
  sessions: Map<string, InferenceSession>;
}

async function open({ folder, threads }: ScoreTask): Promise<Outcome<Opened>> {
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')));
  const sessions = new Map<string, InferenceSession>();
  for (const [name, stated] of graphsOf(manifest)) {
    const graph = await readGraph(folder, stated);
    if (!graph.ok) return graph;
    sessions.set(name, await onnxruntime.InferenceSession.create(graph.value, { ...sessionOptions, intraOpNumThreads: threads }));
  }
  return success({ manifest, sessions });
}

const sessionOptions = {
  interOpNumThreads: 1,
  // The arena keeps what it once took; without it the peak is a third lower and the time the same.
  enableCpuMemArena: false,
  logSeverityLevel: 4,
} as const;

async function run(session: InferenceSession, feeds: Tensors): Promise<Tensors> {
  const tensors = Object.entries(feeds).map(([name, { data, shape }]) => [name, new onnxruntime.Tensor('float32', data, shape)]);
  const outputs = await session.run(Object.fromEntries(tensors) as Record<string, Tensor>);
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data, dims }]) => [name, { data: data as Float32Array, shape: [...dims] }]),
  );
}

function report(stage: ScoreStage, share: number): void {
  process.send!({ kind: 'progress', stage, share } satisfies ScoreMessage);
}

function stopwatch() {
  const start = performance.now();
  const begun: { stage: ScoreStage; at: number }[] = [];
  return {
    begin(stage: ScoreStage): void {
      begun.push({ stage, at: performance.now() });
      report(stage, 0);
    },
    progress(share: number): void {
      report(begun.at(-1)!.stage, share);
    },
    end(): Pick<Scored, 'elapsedMs' | 'stagesMs'> {
      const now = performance.now();
      const stages = begun.map(({ stage, at }, i) => [stage, Math.round((begun[i + 1]?.at ?? now) - at)]);
      return { elapsedMs: Math.round(now - start), stagesMs: Object.fromEntries(stages) };
    },
  };
}

const onnxruntimeVersion = (): string => onnxruntime.env.versions.node ?? onnxruntime.env.versions.common;
