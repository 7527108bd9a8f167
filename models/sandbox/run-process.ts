import { type ChildProcess, fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { failure, type Failure } from '../outcome.js';
import type { ScoreMessage, ScoreStage, ScoreTask } from '../score-messages.js';
import { confinement } from './confinement.js';
import { nodeArguments } from './node-arguments.js';

export interface ProcessLimits {
  /** The process is killed after this time, ms. Default 10 minutes. */
  timeoutMs?: number;
  /** Kills the process when aborted. */
  signal?: AbortSignal;
  /** The process is killed when it holds more than this. Default 3 GiB. */
  memoryLimitBytes?: number;
  /** Threads that the graph runs on. Default 2. */
  threads?: number;
  /** Processor time of all its threads together. Default: `timeoutMs` for each thread, and one. */
  cpuSeconds?: number;
}

export type OnProgress = (progress: { stage: ScoreStage; share: number }) => void;

/** What the kernel counts and the process does not hold: stacks, what is written to once. */
const unheldBytes = 512 * 1024 ** 2;

/**
 * Starts the scoring process within its walls, sends it the task, and waits for its answer or its end, whichever way it comes. It has no
 * environment, no secrets and no connection but the one to its parent, and cannot take the parent down.
 */
export async function runProcess(
  task: ScoreTask,
  limits: ProcessLimits,
  onProgress: OnProgress = () => undefined,
): Promise<ScoreMessage | Failure> {
  const { timeoutMs = 600_000, signal, memoryLimitBytes = 3 * 1024 ** 3 } = limits;
  if (signal?.aborted) return cancelled;
  const cpuSeconds = limits.cpuSeconds ?? Math.ceil(timeoutMs / 1000) * (task.threads + 1);
  const child = await startProcess(task, memoryLimitBytes, cpuSeconds);
  return new Promise((resolve) => {
    const errors = lastOf(child);
    const end = (answer: ScoreMessage | Failure): void => {
      clearTimeout(timer);
      clearInterval(watch);
      signal?.removeEventListener('abort', abort);
      child.kill('SIGKILL');
      resolve(answer);
    };
    const abort = () => end(cancelled);
    const timer = setTimeout(() => end(failure('timeout', `Scoring took longer than ${timeoutMs} ms.`)), timeoutMs);
    const watch = setInterval(async () => {
      if ((await memoryOf(child)) > memoryLimitBytes) end(outOfMemory);
    }, 100);
    signal?.addEventListener('abort', abort, { once: true });
    child.on('error', () => end(failure('crashed', 'The scoring process could not be started.')));
    child.on('exit', (code, killedBy) => end(explainExit(code, killedBy, errors())));
    child.on('message', (message: ScoreMessage) => (message.kind === 'progress' ? onProgress(message) : end(message)));
    child.send(task, (error) => error && end(failure('crashed', 'The scoring process could not be reached.')));
  });
}

const cancelled = failure('cancelled', 'Scoring was cancelled.');
const outOfMemory = failure('out-of-memory', 'Scoring needs more memory than it may use.');

async function startProcess(task: ScoreTask, memoryLimitBytes: number, cpuSeconds: number): Promise<ChildProcess> {
  const { command } = await confinement();
  const walls = command({ memoryBytes: memoryLimitBytes + unheldBytes, cpuSeconds });
  const [program, ...before] = [...walls, process.execPath];
  return fork(fileURLToPath(new URL('../score-process.js', import.meta.url)), {
    env: {},
    execPath: program,
    execArgv: [...before, ...nodeArguments(readableOf(task), memoryLimitBytes)],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'json',
  });
}

/** The folders of the model, of its code and of the job's files. */
const readableOf = (task: ScoreTask): string[] => [
  task.folder,
  ...(task.kind === 'score' ? [task.pipeline, ...task.given.files].map((file) => dirname(file)) : []),
];

/** The heap limit binds JavaScript only; tensors lie outside it. Where the system does not tell, 0. */
async function memoryOf({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '');
  return Number(status.split(' ')[1] ?? 0) * 4096;
}

function lastOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('latin1')).slice(-4096);
  });
  return () => text;
}

function explainExit(code: number | null, killedBy: NodeJS.Signals | null, errors: string): Failure {
  if (/out of memory|bad_alloc|Allocation failed/i.test(errors)) return outOfMemory;
  if (killedBy === 'SIGXCPU') return failure('timeout', 'Scoring took more processor time than it may use.');
  return failure('crashed', `The scoring process ended before its answer (${killedBy ?? `exit code ${code}`}).`);
}
