import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { PixelFailure } from './failure.js';
import { type Message, messages, type PartHead, type PixelTask, send, sendJson } from './messages.js';

export interface WorkerLimits {
  /** The process is killed when it holds more. A third of it is the largest object. */
  memoryBytes: number;
  /** Working time that one object may take, ms; what its source or the reader of the answer takes does not count. */
  timeoutMs: number;
}

/** One part of an answer; its body is read to its end before the next part is asked for. */
export interface AnswerPart {
  head: PartHead;
  body: AsyncIterable<Buffer>;
}

/** A process that decodes, for one object at a time. */
export interface Worker {
  /** Parts of the answer. Given up before its end, or failed, it may end the process. @throws PixelFailure; what the object's source throws. */
  perform(task: PixelTask, object: AsyncIterable<Uint8Array>): AsyncGenerator<AnswerPart>;
  isUsable(): boolean;
  /** Whether the process keeps this one alive. */
  hold(holds: boolean): void;
  kill(): void;
}

const WATCH_MS = 25;
const program = fileURLToPath(new URL('./pixel-process.js', import.meta.url));
/** No writing, no processes, no worker threads; native code is the encoder of pictures (--permission since Node 23.5). */
const isStable = process.allowedNodeEnvironmentFlags.has('--permission');
const permission = [isStable ? '--permission' : '--experimental-permission', '--allow-fs-read=*', '--allow-addons'];

export function startWorker({ memoryBytes, timeoutMs }: WorkerLimits): Worker {
  const heap = `--max-old-space-size=${Math.floor(memoryBytes / 2 ** 20)}`;
  const child = spawn(process.execPath, [...permission, heap, program, String(Math.floor(memoryBytes / 3))], {
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const incoming = messages(child.stdout);
  let ended: PixelFailure | undefined;
  const end = (why: PixelFailure): void => {
    ended ??= why;
    child.kill('SIGKILL');
  };
  const failed = (): PixelFailure => ended ?? new PixelFailure('crashed', 'The process that decodes pixels ended.');
  child.once('exit', () => end(failed()));
  child.once('error', () => end(failed()));
  child.stdin.on('error', () => end(failed()));

  /** The next message, for which the process has what is left of its time. */
  async function next(clock: { leftMs: number }): Promise<Message> {
    const begin = performance.now();
    const timer = setTimeout(() => end(new PixelFailure('timeout', 'The object takes too long to decode.')), clock.leftMs);
    try {
      const { value, done } = await incoming.next();
      if (done) throw failed();
      return value;
    } catch {
      end(failed());
      throw failed();
    } finally {
      clearTimeout(timer);
      clock.leftMs -= performance.now() - begin;
    }
  }

  async function* bodyOf(clock: { leftMs: number }): AsyncGenerator<Buffer> {
    for (;;) {
      const { type, payload } = await next(clock);
      if (type === 'data') yield payload;
      else if (type === 'end-of-part') return;
      else throw refusalOf(type, payload);
    }
  }

  /** The process is not believed: what is no failure of the object is one of the process. */
  function refusalOf(type: Message['type'], payload: Buffer): PixelFailure {
    if (type !== 'failure') end(new PixelFailure('crashed', 'The process that decodes pixels gave no proper answer.'));
    const failure = type === 'failure' ? failureIn(payload) : failed();
    if (failure.code === 'out-of-memory') end(failure);
    return failure;
  }

  async function feed(task: PixelTask, object: AsyncIterable<Uint8Array>): Promise<void> {
    await sendJson(child.stdin, 'task', task).catch(() => undefined);
    for await (const chunk of object) {
      if (ended) throw failed();
      await send(child.stdin, 'data', chunk).catch(() => end(failed()));
    }
    await send(child.stdin, 'end-of-object').catch(() => undefined);
  }

  async function* perform(task: PixelTask, object: AsyncIterable<Uint8Array>): AsyncGenerator<AnswerPart> {
    const clock = { leftMs: timeoutMs };
    const watch = setInterval(async () => {
      if ((await memoryOf(child.pid)) > memoryBytes)
        end(new PixelFailure('out-of-memory', 'The object needs more memory than it may use.'));
    }, WATCH_MS);
    let isAnswered = false;
    try {
      await feed(task, object);
      for (;;) {
        const { type, payload } = await next(clock);
        isAnswered = type === 'end' || type === 'failure';
        if (type === 'end') return;
        if (type !== 'head') throw refusalOf(type, payload);
        yield { head: JSON.parse(payload.toString('utf8')) as PartHead, body: bodyOf(clock) };
      }
    } finally {
      clearInterval(watch);
      if (!isAnswered) end(failed());
    }
  }

  return {
    perform,
    isUsable: () => ended === undefined,
    hold(holds) {
      for (const part of [child, child.stdin, child.stdout] as { ref(): void; unref(): void }[]) part[holds ? 'ref' : 'unref']();
    },
    kill: () => end(failed()),
  };
}

function failureIn(payload: Buffer): PixelFailure {
  const { code, message } = JSON.parse(payload.toString('utf8'));
  return new PixelFailure(code, String(message).slice(0, 200));
}

/** The heap limit binds JavaScript only; pixels lie outside it. Where the system does not tell, 0. */
async function memoryOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '');
  return Number(status.split(' ')[1] ?? 0) * 4096;
}
