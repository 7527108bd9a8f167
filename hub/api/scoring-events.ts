import { PassThrough } from 'node:stream';
import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import type { Access } from '../access/access.js';
import { callerOfRequest, endOfToken } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { isStanding, type Standings } from '../access/authentication/standing.js';
import type { Caller } from '../access/caller.js';
import { denied } from '../access/denial.js';
import { findRow } from '../access/find-row.js';
import { createStreamSlots, type StreamSlots } from '../access/stream-slots.js';
import { outcomeOf, type SeenRecord } from '../access/seen-record.js';
import { agentOf } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { notFound, unavailable } from '../outcomes.js';
import { jobStates, MOST_BEFORE } from '../scoring/job-state.sql.js';
import type { JobNews, JobWatch } from '../scoring/watch-job.js';
import type { Database } from '../store/database.js';
import { idOf } from './asked.js';
import type { components } from './openapi.generated.js';

type ScoringProgress = components['schemas']['ScoringProgress'];

export interface ScoringEventsDeps {
  db: Database;
  access: Access;
  audit: Audit;
  standings: Standings;
  config: Pick<Config, 'trustedProxy'>;
  jobs: JobWatch;
  /** Milliseconds between two looks at the permission, and between two signs of life. Default 5 s and 15 s. */
  recheckMs?: number;
  heartbeatMs?: number;
}

/** Streams that one caller, and all callers together, may have open in this process. */
const MOST = { ofCaller: 8, inAll: 200 };
/** A stream ends after this time, and with its token; a client that goes on is let in anew. */
const LONGEST_MS = 15 * 60_000;
/** What may wait for a reader that does not read, bytes. */
const MOST_WAITING = 64 * 1024;

/**
 * `GET /scoring/jobs/{id}/events`: how far the job of a Task is, as server-sent events (HTML, 9.2), until it is over. Whoever may read the Task may follow it, and
 * only as long as he may and his token holds; its opening is audited. Each event tells all there is, so one that was missed (`Last-Event-ID`) is not missing.
 */
export function registerScoringEvents(server: Server, deps: ScoringEventsDeps): void {
  const slots = createStreamSlots(MOST.ofCaller, { mostInAll: MOST.inAll, what: 'event streams' });
  const draining = new AbortController();
  server.ext('onPreStop', () => draining.abort());
  server.route({
    method: 'GET',
    path: '/scoring/jobs/{id}/events',
    handler: (request, h) => open(deps, slots, draining.signal, request, h),
  });
}

async function open(
  deps: ScoringEventsDeps,
  slots: StreamSlots,
  draining: AbortSignal,
  request: Request,
  h: ResponseToolkit,
): Promise<ResponseObject> {
  const caller = callerOfRequest(request);
  const id = idOf(request);
  const release = slots.take(caller.id);
  request.raw.res.once('close', release);
  if (draining.aborted) throw unavailable();
  const seen = await readableTask(deps, caller, id);
  await deps.audit.commit([entryOf(deps, request, caller, id, seen)]);
  if (!seen) throw notFound();
  if (!seen.decision.allowed) throw denied(seen.row, seen.decision);
  const [job] = await jobStates(deps.db, [id]);
  if (!job) throw notFound();
  const body = new PassThrough();
  if (request.raw.res.closed || request.method === 'head') body.end();
  else follow(deps, caller, id, body, draining, request);
  return h.response(body).type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no');
}

/** Writes what there is to tell until the job is over, the reader has gone or may read no more, or the process stops. */
function follow(
  deps: ScoringEventsDeps,
  caller: Caller,
  id: string,
  body: PassThrough,
  draining: AbortSignal,
  request: Request,
): void {
  let last = '';
  let number = 0;
  const write = (text: string): void => {
    if (body.writableEnded) return;
    if (body.writableLength > MOST_WAITING) end();
    else body.write(text);
  };
  const tell = (news: JobNews | undefined): void => {
    if (!news) {
      end();
      return;
    }
    const data = JSON.stringify(progressOf(news));
    if (data !== last) write(`id: ${++number}\nevent: progress\ndata: ${data}\n\n`);
    last = data;
    if (news.state !== 'queued' && news.state !== 'running') end();
  };
  const recheck = async (): Promise<void> => {
    const isAllowed = await mayStillRead(deps, caller, id).catch(() => false);
    if (!isAllowed) end();
  };
  const timers = [
    setInterval(() => void recheck(), deps.recheckMs ?? 5_000),
    setInterval(() => write(': still here\n\n'), deps.heartbeatMs ?? 15_000),
    setTimeout(() => end(), Math.max(0, Math.min(LONGEST_MS, (endOfToken(request) ?? Number.POSITIVE_INFINITY) - Date.now()))),
  ];
  const unwatch = deps.jobs.watch(id, tell);
  const end = (): void => {
    for (const timer of timers) clearInterval(timer);
    draining.removeEventListener('abort', end);
    unwatch();
    body.end();
  };
  draining.addEventListener('abort', end, { once: true });
  request.raw.res.once('close', end);
  write('retry: 3000\n\n');
}

function progressOf({ state, model, attempts, before, error, stage, share }: JobNews): ScoringProgress {
  return {
    state,
    model,
    attempts,
    ...(before === null ? {} : { before, ...(before >= MOST_BEFORE ? { orMore: true } : {}) }),
    ...(stage === undefined ? {} : { stage, share: Math.round((share ?? 0) * 100) / 100 }),
    ...(state === 'failed' && error ? { reason: error } : {}),
  };
}

const readableTask = (deps: ScoringEventsDeps, caller: Caller, id: string): Promise<SeenRecord> =>
  deps.db.snapshot(async (tx) => {
    const access = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, access, 'Task', id);
    return row && { row, decision: access.decide('read', row) };
  });

async function mayStillRead(deps: ScoringEventsDeps, caller: Caller, id: string): Promise<boolean> {
  if (!(await isStanding(deps.standings, caller))) return false;
  return (await readableTask(deps, caller, id))?.decision.allowed ?? false;
}

const entryOf = (deps: ScoringEventsDeps, request: Request, caller: Caller, id: string, seen: SeenRecord): AuditEntry => ({
  ...agentOf(caller, requestContext(request, deps.config)),
  type: 'scoring',
  subtype: 'watch',
  action: 'R',
  entity: [`Task/${id}`],
  ...outcomeOf(seen),
});
