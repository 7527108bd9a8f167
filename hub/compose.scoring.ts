import type { Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import { confinement } from '../models/sandbox/confinement.js';
import { standings } from './access/authentication/standing.js';
import type { Access } from './access/access.js';
import type { ResourceWriter } from './access/write-request.js';
import { registerScoreCourse } from './api/score-course.js';
import { registerScoringEvents } from './api/scoring-events.js';
import { registerScoringFailures } from './api/scoring-failures.js';
import { registerScoringResults } from './api/scoring-results.js';
import { registerScoringReview } from './api/scoring-review.js';
import type { Audit } from './audit/vocabulary.js';
import type { Config } from './config.js';
import type { FhirDeps } from './fhir/exchange.js';
import { search } from './fhir/search.js';
import { type ConnectorFor, retrieveSeries } from './imaging/retrieve.js';
import { storeOwn } from './ingest/push/store-own.js';
import { every } from './every.js';
import { createAutomaticScoring } from './scoring/automatic.js';
import { carriedOf, reportLeftOut } from './scoring/carried-models.js';
import { loadModels } from './scoring/models.js';
import { scorePermission } from './scoring/permission.js';
import { openProgress } from './scoring/progress.js';
import { pruneJobs } from './scoring/queue.sql.js';
import { scoredOnArrival } from './scoring/report-writer.js';
import { createScoreTimes } from './scoring/score-times.js';
import { startStoreBackWorkers } from './scoring/store-back/worker.js';
import { scoringTaskWriter } from './scoring/task-writer.js';
import { createJobWatch } from './scoring/watch-job.js';
import { startScoringWorkers } from './scoring/worker.js';
import type { Database } from './store/database.js';

export interface ScoringDeps {
  db: Database;
  databaseUrl: string;
  config: Config;
  audit: Audit;
  access: Access;
  log: Logger;
}

/** What scoring is to the other parts of the hub, before anything is scored: the models that are carried, and what writers and sources call. */
export async function openScoring({ db, config, audit, log }: ScoringDeps) {
  const carried = carriedOf(await loadModels(), config);
  await reportLeftOut(db, carried, log);
  const { models, leftOut } = carried;
  const { walls } = await confinement();
  for (const { name, detail } of walls.filter(({ holds }) => !holds))
    log.warn({ wall: name, detail }, 'the scoring process lacks a wall (hub model check)');
  const scheduleAutomatic = createAutomaticScoring(models, audit);
  return {
    models,
    walls,
    scheduleAutomatic,
    taskWriter: scoringTaskWriter(models, audit, leftOut),
    /** Of DiagnosticReports. */
    scored: (writer: ResourceWriter): ResourceWriter => scoredOnArrival(writer, scheduleAutomatic),
    times: createScoreTimes(),
  };
}

export type OpenScoring = Awaited<ReturnType<typeof openScoring>>;

/** Takes jobs from the queue and files their documents, until it is stopped. */
export function startScoring(deps: ScoringDeps, { models, scheduleAutomatic, times }: OpenScoring, connectorFor: ConnectorFor) {
  const { db, databaseUrl, config, audit, access, log } = deps;
  const progress = openProgress(db, databaseUrl, (err) => log.error({ err }, 'progress of a score not told'));
  const workers = startScoringWorkers({
    permission: scorePermission({ db, access, standings: standings(db) }),
    db,
    audit,
    config,
    progress,
    times,
    models,
    log,
    count: config.workers,
    idleSeconds: 0.2,
    retrieve: retrieveSeries({ db, connectorFor }),
  });
  const filing = startStoreBackWorkers({
    db,
    audit,
    config,
    log,
    store: storeOwn({ db, audit, scheduleAutomatic, connectorFor }),
    count: Math.min(1, config.workers),
  });
  const prune = every(
    600_000,
    () => pruneJobs(db),
    (err) => log.error({ err }, 'old scoring jobs not taken out'),
  );
  return {
    jobs: createJobWatch(db, progress, (err) => log.error({ err }, 'scoring jobs not looked at')),
    /** Gives running jobs back; what is told about them can still be told until `close`. */
    stop: async (): Promise<void> => {
      clearInterval(prune);
      await Promise.all([workers.stop(), filing.stop()]);
    },
    close: () => progress.close(),
  };
}

/** The routes of scoring outside FHIR. */
export function registerScoring(
  server: Server,
  { db, access, audit, config }: ScoringDeps,
  fhir: FhirDeps,
  { models }: OpenScoring,
  { jobs }: ReturnType<typeof startScoring>,
): void {
  registerScoringFailures(server, { db, access, audit, config });
  registerScoringEvents(server, { db, access, audit, config, standings: standings(db), jobs });
  registerScoreCourse(server, {
    config,
    models,
    search: async (type, query, caller, context) =>
      (await search(fhir, { method: 'GET', path: [type], query, strict: true, caller, context })).body,
  });
  registerScoringResults(server, { db, access, audit, config });
  registerScoringReview(server, { db, access, audit, config, models });
}
