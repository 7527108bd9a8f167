import type { Request, Server } from '@hapi/hapi';
import { z } from 'zod';
import type { Access } from '../access/access.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { awaitedModels, type FailedJob, failedJobs } from '../scoring/retry-job.js';
import type { Database } from '../store/database.js';
import { asked, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Page = components['schemas']['FailedScoringPage'];

export interface ScoringFailuresDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
}

/**
 * `GET /scoring/failures`: scores of a hospital's studies that failed for good, with the reason, for its administrator, and the models that others wait for. A
 * failed one is tried again by an update of its Task to `requested`.
 */
export function registerScoringFailures(server: Server, deps: ScoringFailuresDeps): void {
  server.route({ method: 'GET', path: '/scoring/failures', handler: (request) => list(deps, request) });
}

async function list(deps: ScoringFailuresDeps, request: Request): Promise<Page> {
  const caller = callerOfRequest(request);
  const entry = (decision: Decision): AuditEntry => ({
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'scoring',
    subtype: 'list-failures',
    action: 'R',
    outcome: 0,
    custodianId: caller.organizationId || undefined,
    ...decidedBy(decision),
  });
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => access.decideGeneral('administer', 'Endpoint'),
      isFor: caller.role === 'hospital-administrator' && caller.organizationId !== '',
      entry,
      refusal: 'Failed scores are for the administrators of hospitals.',
    }),
  );
  const { _count: count, _cursor } = asked(query(deps.config.maxPage), request.query);
  const after = _cursor === undefined ? {} : { after: positionOf(_cursor) };
  const rows = await failedJobs(deps.db, { custodianId: caller.organizationId, count: count + 1, ...after });
  const shown = rows.slice(0, count);
  const awaited = await awaitedModels(deps.db, caller.organizationId);
  await deps.audit.commit([{ ...entry(decision), entity: shown.map(({ taskId }) => `Task/${taskId}`) }]);
  const last = rows.length > count ? shown.at(-1) : undefined;
  return {
    awaitedModels: awaited.map(({ oldest, ...of }) => ({ ...of, oldest: oldest.toISOString() })),
    jobs: shown.map(toItem),
    ...(last ? { next: `${last.failed.getTime()}.${last.taskId}` } : {}),
  };
}

const query = (maxPage: number) =>
  z.strictObject({
    _count: pageSize(maxPage),
    _cursor: z
      .string()
      .regex(/^\d{1,14}\.[A-Za-z0-9-]{1,64}$/)
      .optional(),
  });

/** The cursor is the last job's place. It opens nothing: whose jobs are shown is the caller's organization. */
function positionOf(cursor: string): { failed: Date; taskId: string } {
  const [milliseconds = '', taskId = ''] = cursor.split('.');
  return { failed: new Date(Number(milliseconds)), taskId };
}

const toItem = ({ taskId, focus, model, requester, automatic, reason, created, failed }: FailedJob): Page['jobs'][number] => ({
  task: `Task/${taskId}`,
  focus,
  model,
  requester: `Organization/${requester}`,
  automatic,
  reason,
  created: created.toISOString(),
  failed: failed.toISOString(),
});
