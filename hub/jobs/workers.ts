import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { Database, Queryable } from '../store/database.js';
import type { Choice, HeldJob, JobQueue } from './queue.sql.js';

/** A job in the hands of a worker. */
export interface Claim<Job extends HeldJob> {
  job: Job;
  owner: string;
  /** Aborted when the lease is lost, the job cancelled, or the worker stops. */
  signal: AbortSignal;
}

/** How workers of one queue run in this process. */
export interface WorkerSettings {
  /** How many jobs run at once in this process. */
  count: number;
  /** Seconds until the job of a worker that died is free again. Default 30. */
  leaseSeconds?: number;
  /** Seconds between two looks at an empty queue. Default 1. */
  idleSeconds?: number;
}

export interface Work<Job extends HeldJob> extends WorkerSettings {
  /** For the log. */
  name: string;
  db: Database;
  log: Pick<Logger, 'error'>;
  queue: JobQueue<Job>;
  /** Which job is to be taken now; asked before each claim, one claim after the other. */
  choose?: (tx: Queryable) => Promise<Choice>;
  /** What a job takes of the process from its claim on. @returns what gives it back. */
  hold?: (job: Job) => () => void;
  /** What is committed together with the claim. */
  begin(tx: Queryable, job: Job): Promise<void>;
  /** Takes the job to its end, or puts it back. */
  perform(claim: Claim<Job>): Promise<void>;
}

export interface Workers {
  /** The job may have been cancelled: looks at once whether it is still to be done. */
  recheck(taskId: string): void;
  /** Stops claiming, gives running jobs back, resolves when nothing runs any more. */
  stop(): Promise<void>;
}

interface Running<Job extends HeldJob> extends Work<Job> {
  stopping: AbortSignal;
  leaseSeconds: number;
  /** Looks whether the lease is still held, by Task. */
  rechecks: Map<string, () => void>;
  /** Runs claims one after the other. */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Starts workers that take jobs from a queue. Any number of processes may run them beside each other. */
export function startWorkers<Job extends HeldJob>(work: Work<Job>): Workers {
  const stopping = new AbortController();
  const rechecks = new Map<string, () => void>();
  const leaseSeconds = work.leaseSeconds ?? 30;
  const running = { ...work, stopping: stopping.signal, leaseSeconds, rechecks, inTurn: turns() };
  const loops = Array.from({ length: work.count }, () => workLoop(running));
  return {
    recheck: (taskId) => rechecks.get(taskId)?.(),
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

function turns(): Running<HeldJob>['inTurn'] {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

async function workLoop<Job extends HeldJob>(work: Running<Job>): Promise<void> {
  const idleMs = (work.idleSeconds ?? 1) * 1000;
  while (!work.stopping.aborted) {
    const worked = await workOnce(work).catch((error: Error) => {
      work.log.error({ err: error }, `${work.name} worker`);
      return false;
    });
    if (!worked) await sleep(idleMs, undefined, { signal: work.stopping }).catch(() => undefined);
  }
}

/** Takes one job to its end; false when there is none. */
async function workOnce<Job extends HeldJob>(work: Running<Job>): Promise<boolean> {
  const owner = uuidv7();
  const taken = await work.inTurn(async () => {
    if (work.stopping.aborted) return undefined;
    const job = await work.db.transaction((tx) => begin(work, tx, owner));
    return job && { job, giveBack: work.hold?.(job) };
  });
  if (!taken) return false;
  const { job, giveBack } = taken;
  const lost = new AbortController();
  const renew = async (): Promise<void> => {
    const held = await work.queue.renew(work.db, job.job_id, owner, work.leaseSeconds).catch(() => true);
    if (!held) lost.abort();
  };
  const heartbeat = setInterval(renew, (work.leaseSeconds * 1000) / 3);
  work.rechecks.set(job.task_id, () => void renew());
  try {
    await work.perform({ job, owner, signal: AbortSignal.any([lost.signal, work.stopping]) });
  } finally {
    clearInterval(heartbeat);
    work.rechecks.delete(job.task_id);
    giveBack?.();
  }
  return true;
}

async function begin<Job extends HeldJob>(work: Running<Job>, tx: Queryable, owner: string): Promise<Job | undefined> {
  const job = await work.queue.claim(tx, owner, work.leaseSeconds, await work.choose?.(tx));
  if (job) await work.begin(tx, job);
  return job;
}
