import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { SourceError } from '../../connectors/connector.js';
import type { FailureCode } from '../../models/outcome.js';
import type { Manifest } from '../../models/manifest.js';
import { scoreStudy } from '../../models/runtime.js';
import type { Scored } from '../../models/score-messages.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import type { Database, Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource } from '../store/resources.js';
import { fetchStudy, type RetrieveSeries, removeAbandonedFolders, studyInstanceUidOf, withPrivateFolder } from './fetch-study.js';
import type { Models } from './models.js';
import { entryOf, publish } from './publish.js';
import { claimJob, finishJob, type Job, renewLease, requeueJob } from './queue.sql.js';
import { inState, lockTask, moveTask } from './task-state.js';

export interface ScoringDeps {
  db: Database;
  audit: Audit;
  config: Pick<Config, 'scoringTimeout'>;
  models: Models;
  retrieve: RetrieveSeries;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** How many jobs run at once in this process. */
  count: number;
  /** Seconds until the job of a worker that died is free again. Default 30. */
  leaseSeconds?: number;
  /** Seconds before the first second try; the next waits four times as long. Default 10. */
  retrySeconds?: number;
  /** Seconds between two looks at an empty queue. Default 1. */
  idleSeconds?: number;
}

export interface ScoringWorkers {
  /** Stops claiming, gives running jobs back, resolves when nothing runs any more. */
  stop(): Promise<void>;
}

/** Starts workers that take jobs from the queue. Any number of processes may run them beside each other. */
export function startScoringWorkers(deps: ScoringDeps): ScoringWorkers {
  const stopping = new AbortController();
  const swept = removeAbandonedFolders();
  const loops = Array.from({ length: deps.count }, () => workLoop(deps, stopping.signal));
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all([swept, ...loops]);
    },
  };
}

async function workLoop(deps: ScoringDeps, stopping: AbortSignal): Promise<void> {
  const idleMs = (deps.idleSeconds ?? 1) * 1000;
  while (!stopping.aborted) {
    const worked = await workOnce(deps, stopping).catch((error: Error) => {
      deps.log.error({ err: error }, 'scoring worker');
      return false;
    });
    if (!worked) await sleep(idleMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

/** A job in the hands of this worker. */
interface Claim {
  job: Job;
  owner: string;
  /** Aborted when the lease is lost, the job cancelled, or the worker stops. */
  signal: AbortSignal;
}

/** Takes one job to its end; false when there is none. */
async function workOnce(deps: ScoringDeps, stopping: AbortSignal): Promise<boolean> {
  const owner = uuidv7();
  const leaseSeconds = deps.leaseSeconds ?? 30;
  const job = await deps.db.transaction((tx) => begin(tx, deps.audit, owner, leaseSeconds));
  if (!job) return false;
  const lost = new AbortController();
  const signal = AbortSignal.any([lost.signal, stopping]);
  const heartbeat = setInterval(
    async () => {
      const held = await renewLease(deps.db, job.task_id, owner, leaseSeconds).catch(() => true);
      if (!held) lost.abort();
    },
    (leaseSeconds * 1000) / 3,
  );
  try {
    await perform(deps, { job, owner, signal });
  } finally {
    clearInterval(heartbeat);
  }
  return true;
}

/** The claim, the Task's `in-progress` and the audit of what is about to be read are one transaction. */
async function begin(tx: Queryable, audit: Audit, owner: string, leaseSeconds: number): Promise<Job | undefined> {
  const job = await claimJob(tx, owner, leaseSeconds);
  if (!job) return undefined;
  const task = await lockTask(tx, job.task_id);
  if (task && toResource(task).status === 'requested')
    await moveTask(tx, task, { status: 'in-progress', businessStatus: inState('in-progress') });
  await audit.append(tx, [{ ...entryOf(job), subtype: 'begin', action: 'E' }]);
  return job;
}

const MAX_ATTEMPTS = 3;

async function perform(deps: ScoringDeps, claim: Claim): Promise<void> {
  const { job, owner, signal } = claim;
  if (job.attempts > MAX_ATTEMPTS) return fail(deps, claim, 'It was begun several times and never came to an end.');
  const started = Date.now();
  const study = await findResource(deps.db, 'ImagingStudy', job.study_id);
  const manifest = deps.models.get(job.model);
  if (!study || study.deleted) return fail(deps, claim, 'The study is no longer indexed.');
  if (!manifest)
    return settle(deps, claim, { ok: false, code: 'invalid-model', message: 'This process does not carry the model.' });
  const outcome = await withPrivateFolder((folder) => score(deps, study, manifest, folder, signal));
  if (signal.aborted) return requeueJob(deps.db, job.task_id, owner, 0, 'The worker stopped.', true);
  if (!outcome.ok) return settle(deps, claim, outcome);
  const published = await deps.db.transaction((tx) =>
    publish(tx, deps.audit, { job, owner, study, manifest, scored: outcome.value }),
  );
  deps.log.info({ task: job.task_id, model: job.model, published, ms: Date.now() - started }, 'scored');
}

/** Beside the models' own failures: the source did not give what was asked of it. */
interface JobFailure {
  ok: false;
  code: FailureCode | 'source-failed';
  /** One sentence for a person; never patient data. */
  message: string;
}
type Attempt = { ok: true; value: Scored } | JobFailure;

async function score(
  deps: ScoringDeps,
  study: ResourceRow,
  manifest: Manifest,
  folder: string,
  signal: AbortSignal,
): Promise<Attempt> {
  const until = Date.now() + deps.config.scoringTimeout * 1000;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(until - Date.now())]);
  try {
    const files = await fetchStudy(study, manifest, folder, deps.retrieve, bounded);
    if (!files.ok) return files;
    const timeoutMs = Math.max(1, until - Date.now());
    const scored = await scoreStudy({ model: manifest.name, files: files.value, signal, timeoutMs });
    return scored.ok ? asAsked(scored.value, study, manifest) : scored;
  } catch (error) {
    return sourceFailure(error as Error, bounded.aborted);
  }
}

/** What came back must be about this study, and by the model that the results will name. */
function asAsked(scored: Scored, study: ResourceRow, manifest: Manifest): Attempt {
  if (scored.studyInstanceUid !== studyInstanceUidOf(study))
    return { ok: false, code: 'malformed-input', message: 'The custodian sent images of another study.' };
  if (scored.model.sha256 !== manifest.graph.sha256 || scored.model.version !== manifest.version)
    return { ok: false, code: 'invalid-model', message: 'The model was exchanged while the hub was running.' };
  return { ok: true, value: scored };
}

/** What the source did, without its words. */
function sourceFailure(error: Error, timedOut: boolean): JobFailure {
  const message = timedOut
    ? 'The images did not arrive in time.'
    : error instanceof SourceError
      ? `The custodian’s source did not give the images (${error.code}).`
      : 'The images could not be taken from the custodian’s source.';
  return { ok: false, code: 'source-failed', message };
}

/** Failures that trying again can't mend. */
const FINAL = new Set(['not-applicable', 'malformed-input']);

async function settle(deps: ScoringDeps, claim: Claim, { code, message }: JobFailure): Promise<void> {
  const { job, owner } = claim;
  const isFinal = FINAL.has(code) || job.attempts >= MAX_ATTEMPTS;
  deps.log.warn({ task: job.task_id, model: job.model, code, attempt: job.attempts, isFinal }, 'scoring failed');
  if (isFinal) return fail(deps, claim, message);
  const seconds = (deps.retrySeconds ?? 10) * 4 ** (job.attempts - 1);
  await requeueJob(deps.db, job.task_id, owner, seconds, `${code}: ${message}`);
}

/** The dead letter: the Task says why, the job stays with its last error. */
async function fail(deps: ScoringDeps, { job, owner }: Claim, reason: string): Promise<void> {
  await deps.db.transaction(async (tx) => {
    if (!(await finishJob(tx, job.task_id, owner, 'failed', reason))) return;
    const task = await lockTask(tx, job.task_id);
    if (task) await moveTask(tx, task, { status: 'failed', businessStatus: undefined, statusReason: { text: reason } });
    await deps.audit.append(tx, [{ ...entryOf(job), subtype: 'fail', action: 'E', outcome: 8 }]);
  });
}
