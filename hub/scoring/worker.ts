import type { Logger } from 'pino';
import { SourceError } from '../../connectors/connector.js';
import { type FailureCode, failure, type Outcome, success } from '../../models/outcome.js';
import type { ObservedValue } from '../../models/pipeline.js';
import type { Manifest } from '../../models/manifest.js';
import { scoreStudy } from '../../models/runtime.js';
import type { Scored } from '../../models/score-messages.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { studyInstanceUidOf } from '../imaging/study-uid.js';
import { beginTask, failTask } from '../jobs/task-state.js';
import { type Claim, startWorkers, type Workers, type WorkerSettings } from '../jobs/workers.js';
import type { Database, Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource } from '../store/resources.js';
import { fetchStudy, type RetrieveSeries, removeAbandonedFolders, withPrivateFolder } from './fetch-study.js';
import { findObservations, laboratoryValues, resultsOfReport, sampledAt } from './laboratory-values.js';
import { type MadeBy, madeBy } from './made-by.js';
import type { ScorePermission } from './permission.js';
import { createMemoryBudget, type MemoryBudget } from './memory-budget.js';
import type { Models } from './models.js';
import { entryOf, publish } from './publish.js';
import type { Progress, ProgressExchange } from './progress.js';
import { type Job, scoringQueue } from './queue.sql.js';
import { insertUnscored } from './result-facts.sql.js';
import type { ScoreTimes } from './score-times.js';
import { readStudyHeader, type StudyHeader } from './study-header.js';

export interface ScoringDeps extends WorkerSettings {
  db: Database;
  audit: Audit;
  config: Pick<Config, 'scoringTimeout' | 'scoringMemory'>;
  /** Where progress is told and cancelled jobs are heard of at once; without it, with the next heartbeat. */
  progress?: Pick<ProgressExchange, 'report' | 'forget' | 'onCancelled'>;
  models: Models;
  /** Where the model folders lie. Default: those of the project. */
  modelsRoot?: string;
  retrieve: RetrieveSeries;
  /** Asked of whoever requested a score when it begins, and before it is published; without it no request is worked on. */
  permission?: ScorePermission;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  times?: Pick<ScoreTimes, 'note'>;
  /** Seconds before the first second try; the next waits four times as long. Default 10. */
  retrySeconds?: number;
}

/** Milliseconds between two times at which a process says that it scores. */
const ANNOUNCE_MS = 15_000;

/** Starts workers that take jobs from the queue. Any number of processes may run them beside each other. */
export function startScoringWorkers(deps: ScoringDeps): Workers {
  const swept = removeAbandonedFolders();
  const budget = createMemoryBudget(deps.models, deps.config.scoringMemory);
  const announce = (): Promise<void> =>
    budget.announce(deps.db).catch((err) => deps.log.error({ err }, 'this process is not announced as one that scores'));
  const announced = deps.count > 0 ? announce() : Promise.resolve();
  const announcing = deps.count > 0 ? setInterval(announce, ANNOUNCE_MS).unref() : undefined;
  const workers = startWorkers<Job>({
    ...deps,
    name: 'scoring',
    queue: scoringQueue,
    choose: budget.choose,
    hold: budget.hold,
    begin: (tx, job) => begin(tx, deps.audit, job),
    perform: (claim) => perform(deps, budget, claim).finally(() => deps.progress?.forget(claim.job.task_id)),
  });
  deps.progress?.onCancelled((taskId) => workers.recheck(taskId));
  return {
    ...workers,
    stop: async () => {
      clearInterval(announcing);
      await Promise.all([swept, announced, workers.stop()]);
      if (deps.count > 0) await budget.leave(deps.db).catch(() => undefined);
    },
  };
}

type ScoringClaim = Claim<Job>;

/** The claim, the Task's `in-progress` and the audit of what is about to be read are one transaction. */
async function begin(tx: Queryable, audit: Audit, job: Job): Promise<void> {
  await beginTask(tx, job.task_id);
  await audit.append(tx, [{ ...entryOf(job), subtype: 'begin', action: 'E' }]);
}

/** Failures after which a job is given up. */
const MAX_ATTEMPTS = 3;
/** Beginnings after which a job is given up whose workers all died: the job may be what kills them. */
const MAX_BEGUN = 6;

async function perform(deps: ScoringDeps, budget: MemoryBudget, claim: ScoringClaim): Promise<void> {
  const { job, owner, signal } = claim;
  if (job.attempts > MAX_BEGUN) return fail(deps, claim, 'It was begun several times and never came to an end.');
  const started = Date.now();
  const study = await findResource(deps.db, job.focus_type, job.focus_id);
  const manifest = deps.models.get(job.model);
  if (!study || study.deleted) return fail(deps, claim, 'What was to be scored is no longer there.');
  if (!manifest) return leave(deps, claim, 'This process does not carry the model.');
  if (!budget.fits(manifest)) return fail(deps, claim, tooLarge(manifest, deps.config.scoringMemory));
  const before = await refusal(deps, job, study);
  if (before) return fail(deps, claim, before);
  const outcome = await withPrivateFolder((folder) => score(deps, claim, study, manifest, folder));
  if (signal.aborted) return scoringQueue.requeue(deps.db, job.task_id, owner, 0, 'The worker stopped.', true);
  const seconds = (Date.now() - started) / 1000;
  deps.times?.note({ model: job.model, outcome: outcome.ok ? 'scored' : outcome.code, seconds });
  if (!outcome.ok) return settle(deps, claim, outcome);
  const after = await refusal(deps, job, study);
  if (after) return fail(deps, claim, after);
  const published = await deps.db.transaction((tx) => publish(tx, deps.audit, { job, owner, study, manifest, ...outcome.value }));
  deps.log.info({ task: job.task_id, model: job.model, published, ms: Date.now() - started }, 'scored');
}

/** Leaves a job to a process that can do it; it is no fault of the job. */
const leave = ({ db, retrySeconds }: ScoringDeps, { job, owner }: ScoringClaim, why: string): Promise<void> =>
  scoringQueue.requeue(db, job.task_id, owner, retrySeconds ?? 10, why, true);

/** Why whoever asked may not have it any more, in a sentence; a rule of the custodian asks for its own. */
async function refusal({ permission }: ScoringDeps, { caller }: Job, focus: ResourceRow): Promise<string | undefined> {
  if (!caller) return undefined;
  const why = permission ? await permission(caller, focus) : 'no-basis';
  return why && `This may not be scored any more for whoever asked (${why}).`;
}

const tooLarge = ({ name, resources: { memoryMb } }: Manifest, most: number): string =>
  `A job of ${name} needs ${memoryMb} MiB, and no process that scores may use so much (scoringMemory: ${most}).`;

/** Beside the models' own failures: the source did not give what was asked of it. */
interface JobFailure {
  ok: false;
  code: FailureCode | 'source-failed';
  /** One sentence for a person; never patient data. */
  message: string;
}
type Attempt =
  | { ok: true; value: { scored: Scored; made: MadeBy; started: string | undefined; header?: StudyHeader } }
  | JobFailure;

async function score(
  deps: ScoringDeps,
  { job, signal }: ScoringClaim,
  study: ResourceRow,
  manifest: Manifest,
  folder: string,
): Promise<Attempt> {
  const onProgress = (progress: Progress): void => deps.progress?.report(job.task_id, progress);
  const until = Date.now() + deps.config.scoringTimeout * 1000;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(until - Date.now())]);
  onProgress({ stage: 'retrieving', share: 0 });
  try {
    const given: Outcome<{ files: string[]; observations?: ObservedValue[] }> =
      study.type === 'ImagingStudy'
        ? await fetchStudy(study, manifest, folder, deps.retrieve, bounded)
        : await readReport(deps.db, study);
    if (!given.ok) return given;
    const timeoutMs = Math.max(1, until - Date.now());
    const made = await madeBy(manifest, deps.modelsRoot);
    const memoryLimitBytes = manifest.resources.memoryMb * 1024 ** 2;
    const limits = { signal, timeoutMs, memoryLimitBytes, modelsRoot: deps.modelsRoot };
    const scored = await scoreStudy({ model: manifest.name, ...given.value, ...limits, onProgress });
    if (!scored.ok) return scored;
    const why = otherThanAsked(scored.value, study, manifest);
    if (why) return why;
    const [first] = given.value.files;
    const { observations } = given.value;
    const started = observations ? sampledAt(observations, manifest) : toResource(study).started;
    return { ok: true, value: { scored: scored.value, made, started, header: first ? await readStudyHeader(first) : undefined } };
  } catch (error) {
    return sourceFailure(error as Error, bounded.aborted);
  }
}

/** The laboratory's values as they are now; their digests tell later whether they changed. */
async function readReport(
  db: Queryable,
  report: ResourceRow,
): Promise<Outcome<{ files: string[]; observations: ObservedValue[] }>> {
  const rows = await findObservations(db, resultsOfReport(toResource(report)));
  return rows.every((row) => row.patient_id === report.patient_id && row.custodian_id === report.custodian_id)
    ? success({ files: [], observations: laboratoryValues(rows) })
    : failure('malformed-input', 'A result of the report is of another patient or another hospital.');
}

/** What came back must be about this study, and by the model that the results will name. */
function otherThanAsked(scored: Scored, study: ResourceRow, manifest: Manifest): JobFailure | undefined {
  if (study.type === 'ImagingStudy' && scored.studyInstanceUid !== studyInstanceUidOf(study))
    return { ok: false, code: 'malformed-input', message: 'The custodian sent images of another study.' };
  if (scored.model.sha256 !== manifest.graph.sha256 || scored.model.version !== manifest.version)
    return { ok: false, code: 'invalid-model', message: 'The model was exchanged while the hub was running.' };
  return undefined;
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

async function settle(deps: ScoringDeps, claim: ScoringClaim, { code, message }: JobFailure): Promise<void> {
  const { job, owner } = claim;
  const isFinal = FINAL.has(code) || job.attempts >= MAX_ATTEMPTS;
  deps.log.warn({ task: job.task_id, model: job.model, code, attempt: job.attempts, isFinal }, 'scoring failed');
  if (isFinal) return fail(deps, claim, message, code);
  const seconds = (deps.retrySeconds ?? 10) * 4 ** (job.attempts - 1);
  await scoringQueue.requeue(deps.db, job.task_id, owner, seconds, `${code}: ${message}`);
}

async function fail(deps: ScoringDeps, claim: ScoringClaim, reason: string, code = 'failed'): Promise<void> {
  await deps.db.transaction(async (tx) => {
    if (!(await failTask(tx, scoringQueue, claim, reason))) return;
    await insertUnscored(tx, claim.job, deps.models.get(claim.job.model)?.version ?? '', code);
    await deps.audit.append(tx, [{ ...entryOf(claim.job), subtype: 'fail', action: 'E', outcome: 8 }]);
  });
}
