import { turn } from '../../../connectors/gate.js';
import { PixelFailure } from './failure.js';
import type { PixelTask } from './messages.js';
import { type AnswerPart, startWorker, type Worker, type WorkerLimits } from './worker.js';

export interface PixelRoomSettings extends WorkerLimits {
  /** Processes that decode at once. */
  processes: number;
}

/** The parts of an answer, in order; `return` gives it up. */
export interface Answer extends AsyncIterableIterator<AnswerPart> {
  return(): Promise<IteratorResult<AnswerPart>>;
}

/** Where foreign pixels are decoded: in processes of their own, which have limits and nothing to lose. */
export interface PixelRoom {
  /**
   * Gives the bytes of an object to a process, with a task. Resolves when the first part is at hand. An answer that is not read to its end must be
   * given up with `return`. @throws PixelFailure; what the object's source throws.
   */
  run(task: PixelTask, object: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Answer>;
  /** Ends the processes. */
  close(): void;
}

const MOST_WAITING = 100;
const IDLE_MS = 60_000;

/** Processes are started when they are needed, and end when they were not for a minute. */
export function createPixelRoom(settings: PixelRoomSettings): PixelRoom {
  const idle = new Map<Worker, NodeJS.Timeout>();
  const waiting: (() => void)[] = [];
  let working = 0;
  let isClosed = false;

  async function enter(signal: AbortSignal): Promise<Worker> {
    while (working >= settings.processes && !isClosed) {
      if (waiting.length >= MOST_WAITING) throw new PixelFailure('busy', 'Too much is being decoded.');
      await turn(waiting, signal);
    }
    signal.throwIfAborted();
    if (isClosed) throw new PixelFailure('busy', 'The hub is stopping.');
    working += 1;
    const [worker] = [...idle.keys()].filter((one) => one.isUsable());
    if (!worker) return startWorker(settings);
    clearTimeout(idle.get(worker));
    idle.delete(worker);
    worker.hold(true);
    return worker;
  }

  function leave(worker: Worker): void {
    working -= 1;
    if (isClosed) worker.kill();
    if (worker.isUsable()) {
      worker.hold(false);
      idle.set(worker, setTimeout(() => remove(worker), IDLE_MS).unref());
    }
    waiting.shift()?.();
  }

  function remove(worker: Worker): void {
    clearTimeout(idle.get(worker));
    idle.delete(worker);
    worker.kill();
  }

  async function* answerOf(worker: Worker, task: PixelTask, object: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    signal.addEventListener('abort', worker.kill, { once: true });
    try {
      yield* worker.perform(task, object);
    } finally {
      signal.removeEventListener('abort', worker.kill);
      leave(worker);
    }
  }

  return {
    async run(task, object, signal) {
      return withFirst(answerOf(await enter(signal), task, object, signal));
    },
    close() {
      isClosed = true;
      for (const worker of [...idle.keys()]) remove(worker);
      for (const proceed of waiting.splice(0)) proceed();
    },
  };
}

/** The same answer once its first part is there; giving it up ends it also when nothing was read. */
async function withFirst(parts: AsyncGenerator<AnswerPart>): Promise<Answer> {
  let first: IteratorResult<AnswerPart> | undefined = await parts.next();
  const answer: Answer = {
    next: async () => {
      const part = first ?? (await parts.next());
      first = undefined;
      return part;
    },
    return: () => parts.return(undefined),
    [Symbol.asyncIterator]: () => answer,
  };
  return answer;
}
