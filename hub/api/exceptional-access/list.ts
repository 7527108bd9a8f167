import type { Request } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../../access/authentication/bearer-scheme.js';
import { requestContext } from '../../access/authentication/request-context.js';
import { KINDS, REVIEWS, reviewSql, selectAccesses, STATES, stateSql } from '../../access/exceptional/exceptional-access.js';
import { wardsOf } from '../../access/guardians/guardianships.sql.js';
import { visibleTo } from '../../access/exceptional/view.js';
import { agentOf } from '../../access/write-request.js';
import { clusterOf } from '../../identity/cluster.js';
import { and, type Sql, sql } from '../../store/sql.js';
import { asked, ID, pageSize } from '../asked.js';
import type { components } from '../openapi.generated.js';
import type { ExceptionalAccessDeps } from './authorized.js';
import { toItem } from './item.js';

/** `GET /access/exceptional`: newest first; the reviewers' queue is `review=owed` and `review=overdue`. Looking is on record. */
export async function list(
  deps: ExceptionalAccessDeps,
  request: Request,
): Promise<components['schemas']['ExceptionalAccessPage']> {
  const caller = callerOfRequest(request);
  const { _count: count, ...filter } = asked(query(deps.config.maxPage), request.query);
  const { rows, patientIds } = await deps.db.snapshot(async (tx) => {
    const wards = await wardsOf(tx, caller, deps.config);
    const own = caller.patientId === undefined ? [] : await clusterOf(tx, caller.patientId);
    const patientIds = [...own, ...wards.map((ward) => ward.patient)];
    const where = and([visibleTo(caller, patientIds), ...conditions(filter)]);
    return { patientIds, rows: await selectAccesses(tx, where, count + 1) };
  });
  const shown = rows.slice(0, count);
  await deps.audit.commit([
    {
      ...agentOf(caller, requestContext(request, deps.config)),
      type: 'access',
      subtype: 'exceptional-list',
      action: 'R',
      outcome: 0,
      entity: shown.map((row) => `ExceptionalAccess/${row.id}`),
      query: request.path + request.url.search,
    },
  ]);
  const last = rows.length > count ? shown.at(-1) : undefined;
  return { items: shown.map((row) => toItem(row, caller, patientIds)), ...(last ? { next: last.id } : {}) };
}

const query = (maxPage: number) =>
  z.strictObject({
    kind: z.enum(KINDS).optional(),
    state: z.enum(STATES).optional(),
    review: z.enum(REVIEWS).optional(),
    flagged: z.enum(['true', 'false']).optional(),
    _count: pageSize(maxPage),
    _cursor: ID.optional(),
  });

/** The cursor is the last item's id. It opens nothing: what is shown is what the caller may see. */
function conditions(filter: Omit<z.infer<ReturnType<typeof query>>, '_count'>): Sql[] {
  const { kind, state, review, flagged, _cursor: after } = filter;
  const isFlagged = sql`exists (select from exceptional_access_patient f where f.access_id = x.id and f.flagged_at is not null)`;
  return [
    ...(kind ? [sql`x.kind = ${kind}`] : []),
    ...(state ? [sql`(${stateSql}) = ${state}`] : []),
    ...(review ? [sql`${reviewSql} = ${review}`] : []),
    ...(flagged ? [flagged === 'true' ? isFlagged : sql`not ${isFlagged}`] : []),
    ...(after ? [sql`x.id < ${after}`] : []),
  ];
}
