import type { Request, Server } from '@hapi/hapi';
import type { Wall } from '../../models/sandbox/confinement.js';
import type { components } from './openapi.generated.js';
import type { PolicyAccess } from '../access/create-access.js';
import type { AuditWriter } from '../audit/record.js';
import { createMetrics } from './metrics.js';
import type { StepCounts } from '../ingest/step-counts.js';
import { notFound } from '../outcomes.js';
import type { ScoreTimes } from '../scoring/score-times.js';
import { knownMigrations } from '../store/data-source.js';
import type { Database } from '../store/database.js';
import { sql } from '../store/sql.js';

type Readiness = components['schemas']['Readiness'];
type CheckResult = components['schemas']['CheckResult'];

export interface HealthDeps {
  db: Database;
  audit: AuditWriter;
  access: Pick<PolicyAccess, 'prepare'>;
  steps?: Pick<StepCounts, 'all'>;
  /** Of the scoring process. */
  walls?: readonly Wall[];
  times?: Pick<ScoreTimes, 'onNote'>;
}

const CHECK_TIMEOUT = 3000;
/** Milliseconds that an answer of /readyz stands: it costs a transaction, and anybody may ask. */
const STANDS_FOR = 1000;

/**
 * `/healthz` (the process runs), `/readyz` (requests can be served) and `/metrics`, all without authentication and without detail. Metrics say
 * how busy which hospital is, so they are for the machine itself: a caller on loopback that no proxy stands before; anyone else gets 404.
 */
export function registerHealth(server: Server, deps: HealthDeps): void {
  const readiness = kept(() => checkAll(deps));
  const metrics = createMetrics(server, deps);
  server.route([
    {
      method: 'GET',
      path: '/healthz',
      options: { auth: false },
      handler: () => ({ status: 'ok' }) satisfies components['schemas']['Health'],
    },
    {
      method: 'GET',
      path: '/readyz',
      options: { auth: false },
      handler: async (_, h) => {
        const result = await readiness();
        return h
          .response(result)
          .code(result.status === 'ready' ? 200 : 503)
          .header('cache-control', 'no-store');
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      options: { auth: false },
      handler: async (request, h) => {
        if (!isLocal(request)) throw notFound();
        return h
          .response(await metrics.metrics())
          .type(metrics.contentType)
          .header('cache-control', 'no-store');
      },
    },
  ]);
}

/** A proxy on the same machine also comes from loopback, but says for whom it asks. */
function isLocal(request: Request): boolean {
  const loopback = /^(127\.|::1$|::ffff:127\.)/.test(request.info.remoteAddress);
  return loopback && !request.headers['x-forwarded-for'] && !request.headers.forwarded;
}

async function checkAll(deps: HealthDeps): Promise<Readiness> {
  const [database, schema, audit, policy] = await Promise.all([
    check(async () => deps.db.query(sql`select 1`)),
    check(async () => {
      const executed = await deps.db.query<{ name: string }>(sql`select name from migrations`);
      if (knownMigrations.some((known) => !executed.some(({ name }) => name === known)))
        throw new Error('migrations are pending');
    }),
    check(() => deps.audit.check()),
    check(() => deps.access.prepare(deps.db)),
  ]);
  const checks = { database, schema, audit, policy };
  return { status: Object.values(checks).every((c) => c === 'ok') ? 'ready' : 'not-ready', checks };
}

async function check(work: () => Promise<unknown>): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<CheckResult>((resolve) => {
    timer = setTimeout(resolve, CHECK_TIMEOUT, 'failed');
  });
  const result = work().then(
    (): CheckResult => 'ok',
    (): CheckResult => 'failed',
  );
  return Promise.race([result, late]).finally(() => clearTimeout(timer));
}

/** One look serves all who ask within a second. */
function kept<T>(look: () => Promise<T>): () => Promise<T> {
  let last: { at: number; result: Promise<T> } | undefined;
  return () => {
    if (!last || Date.now() - last.at > STANDS_FOR) last = { at: Date.now(), result: look() };
    return last.result;
  };
}
