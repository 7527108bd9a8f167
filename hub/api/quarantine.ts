import type { Request, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { listQuarantine, type QuarantineRow, setQuarantineState } from '../ingest/quarantine.js';
import { retryQuarantined } from '../ingest/retry-quarantined.js';
import type { RecordDeps } from '../ingest/statements/taking.js';
import type { Sources } from '../ingest/watch-sources.js';
import type { IngestDeps } from '../ingest/submit-study.js';
import { notFound, Refusal } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { asked, idOf, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Item = components['schemas']['QuarantineItem'];
type Page = components['schemas']['QuarantinePage'];

export interface QuarantineDeps extends IngestDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
  sources: Pick<Sources, 'connectorFor'>;
  records?: RecordDeps;
}

/** `/quarantine`: what could not be taken from a hospital's archives, for its own administrator. Another hospital's items do not exist. */
export function registerQuarantine(server: Server, deps: QuarantineDeps): void {
  server.route([
    { method: 'GET', path: '/quarantine', handler: (request) => list(deps, request) },
    { method: 'POST', path: '/quarantine/{id}/retry', handler: (request) => retry(deps, request) },
    { method: 'POST', path: '/quarantine/{id}/discard', handler: (request) => discard(deps, request) },
  ]);
}

async function list(deps: QuarantineDeps, request: Request): Promise<Page> {
  const { caller, decision } = await authorize(deps, request, 'quarantine-list');
  const { state, reason, _count: count, _cursor } = asked(query(deps.config.maxPage), request.query);
  const after = _cursor === undefined ? undefined : positionOf(_cursor);
  const rows = await listQuarantine(deps.db, { custodianId: caller.organizationId, state, reason, after, count: count + 1 });
  const shown = rows.slice(0, count);
  const entity = shown.map((row) => `Quarantine/${row.id}`);
  await deps.audit.commit([{ ...entryOf(deps, request, 'quarantine-list', decision), action: 'R', entity }]);
  const last = rows.length > count ? shown.at(-1) : undefined;
  return { items: shown.map(toItem), ...(last ? { next: `${last.first_seen.getTime()}.${last.id}` } : {}) };
}

function retry(deps: QuarantineDeps, request: Request): Promise<Item> {
  return change(deps, request, 'quarantine-retry', (caller, id) =>
    retryQuarantined(
      { ...deps, connectorFor: deps.sources.connectorFor },
      { custodianId: caller.organizationId, id, requestId: request.info.id },
    ),
  );
}

function discard(deps: QuarantineDeps, request: Request): Promise<Item> {
  return change(deps, request, 'quarantine-discard', (caller, id) =>
    deps.db.transaction((tx) => setQuarantineState(tx, caller.organizationId, id, 'discarded')),
  );
}

/** A step on one item: authorized, taken, on record whatever came of it, then answered. */
async function change(
  deps: QuarantineDeps,
  request: Request,
  subtype: string,
  step: (caller: Caller, id: string) => Promise<QuarantineRow | undefined>,
): Promise<Item> {
  const { caller, decision } = await authorize(deps, request, subtype);
  const id = idOf(request);
  const entry = { ...entryOf(deps, request, subtype, decision), entity: [`Quarantine/${id}`] };
  try {
    const row = await step(caller, id);
    if (!row) throw notFound();
    await deps.audit.commit([{ ...entry, detail: `${row.reason}: ${row.state}` }]);
    return toItem(row);
  } catch (error) {
    if (error instanceof Refusal && error.status < 503)
      await deps.audit.commit([{ ...entry, outcome: 4, detail: error.issues[0]?.code }]);
    throw error;
  }
}

/** @throws Refusal 403 for all but the administrators of hospitals; the attempt is on record by then. */
async function authorize(
  deps: QuarantineDeps,
  request: Request,
  subtype: string,
): Promise<{ caller: Caller; decision: Decision }> {
  const caller = callerOfRequest(request);
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => access.decideGeneral('administer', 'Endpoint'),
      isFor: caller.role === 'hospital-administrator' && caller.organizationId !== '',
      entry: (decided) => entryOf(deps, request, subtype, decided),
      refusal: 'The quarantine is for the administrators of hospitals.',
    }),
  );
  return { caller, decision };
}

const query = (maxPage: number) =>
  z.strictObject({
    state: z.enum(['held', 'resolved', 'discarded']).optional(),
    reason: z
      .string()
      .regex(/^[a-z-]{1,64}$/)
      .optional(),
    _count: pageSize(maxPage),
    _cursor: z
      .string()
      .regex(/^\d{1,14}\.[A-Za-z0-9-]{1,64}$/)
      .optional(),
  });

/** The cursor is the last item's place. It opens nothing: whose items are shown is the caller's organization. */
function positionOf(cursor: string): { first_seen: Date; id: string } {
  const [milliseconds = '', id = ''] = cursor.split('.');
  return { first_seen: new Date(Number(milliseconds)), id };
}

const toItem = (row: QuarantineRow): Item => ({
  id: row.id,
  custodian: row.custodian_id,
  ...(row.connector_id ? { connector: row.connector_id } : {}),
  locator: row.locator,
  reason: row.reason,
  detail: row.detail,
  ...(row.study_instance_uid ? { studyInstanceUid: row.study_instance_uid } : {}),
  ...(row.series_instance_uid ? { seriesInstanceUid: row.series_instance_uid } : {}),
  ...(row.sop_instance_uid ? { sopInstanceUid: row.sop_instance_uid } : {}),
  state: row.state,
  attempts: row.attempts,
  firstSeen: row.first_seen.toISOString(),
  lastSeen: row.last_seen.toISOString(),
});

function entryOf(deps: QuarantineDeps, request: Request, subtype: string, decision: Decision): AuditEntry {
  const caller = callerOfRequest(request);
  return {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'ingest',
    subtype,
    action: 'U',
    outcome: 0,
    custodianId: caller.organizationId,
    query: `${request.method} ${request.path}${request.url.search}`,
    ...decidedBy(decision),
  };
}
