import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { Database, Queryable } from '../store/database.js';
import type { HeldJob, JobQueue } from './queue.sql.js';

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
  /** What is committed together with the claim. */
  begin(tx: Queryable, job: Job): Promise<void>;
  /** Takes the job to its end, or puts it back. */
  perform(claim: Claim<Job>): Promise<void>;
}

export interface Workers {
  /** Stops claiming, gives running jobs back, resolves when nothing runs any more. */
  stop(): Promise<void>;
}

/** Starts workers that take jobs from a queue. Any number of processes may run them beside each other. */
export function startWorkers<Job extends HeldJob>(work: Work<Job>): Workers {
  const stopping = new AbortController();
  const loops = Array.from({ length: work.count }, () => workLoop(work, stopping.signal));
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

async function workLoop<Job extends HeldJob>(work: Work<Job>, stopping: AbortSignal): Promise<void> {
  const idleMs = (work.idleSeconds ?? 1) * 1000;
  while (!stopping.aborted) {
    const worked = await workOnce(work, stopping).catch((error: Error) => {
      work.log.error({ err: error }, `${work.name} worker`);
      return false;
    });
    if (!worked) await sleep(idleMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

/** Takes one job to its end; false when there is none. */
async function workOnce<Job extends HeldJob>(work: Work<Job>, stopping: AbortSignal): Promise<boolean> {
  const owner = uuidv7();
  const leaseSeconds = work.leaseSeconds ?? 30;
  const job = await work.db.transaction((tx) => begin(work, tx, owner, leaseSeconds));
  if (!job) return false;
  const lost = new AbortController();
  const heartbeat = setInterval(
    async () => {
      const held = await work.queue.renew(work.db, job.task_id, owner, leaseSeconds).catch(() => true);
      if (!held) lost.abort();
    },
    (leaseSeconds * 1000) / 3,
  );
  try {
    await work.perform({ job, owner, signal: AbortSignal.any([lost.signal, stopping]) });
  } finally {
    clearInterval(heartbeat);
  }
  return true;
}

async function begin<Job extends HeldJob>(
  work: Work<Job>,
  tx: Queryable,
  owner: string,
  leaseSeconds: number,
): Promise<Job | undefined> {
  const job = await work.queue.claim(tx, owner, leaseSeconds);
  if (job) await work.begin(tx, job);
  return job;
}
