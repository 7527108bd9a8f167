import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { notFound } from '../outcomes.js';
import type { Database } from '../store/database.js';
import { acknowledge, type StoredEvent, undelivered } from '../store/outbox.js';
import { asked, pageSize } from './asked.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type Notices = components['schemas']['Notices'];

export interface NoticesDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
}

/** `/notices`: what an organization is to be told of, until it has acknowledged it. Another organization's notices do not exist. */
export function registerNotices(server: Server, deps: NoticesDeps): void {
  server.route([
    { method: 'GET', path: '/notices', handler: (request) => list(deps, request) },
    { method: 'POST', path: '/notices/{id}/acknowledgement', handler: (request, h) => takeNote(deps, request, h) },
  ]);
}

async function list(deps: NoticesDeps, request: Request): Promise<Notices> {
  const { organizationId, entry } = await authorize(deps, request, 'notices');
  const { _count: count } = asked(z.strictObject({ _count: pageSize(deps.config.maxPage) }), request.query);
  const events = await undelivered(deps.db, organizationId, count);
  await deps.audit.commit([{ ...entry, action: 'R', entity: events.map((event) => `Notice/${event.id}`) }]);
  return { notices: events.map(toNotice) };
}

async function takeNote(deps: NoticesDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const { organizationId, entry } = await authorize(deps, request, 'notice-acknowledged');
  const given = String(request.params['id']);
  const id = /^[1-9]\d{0,14}$/.test(given) ? Number(given) : undefined;
  const known = await deps.db.transaction(async (tx) => {
    const found = id !== undefined && (await acknowledge(tx, organizationId, id));
    await deps.audit.append(tx, [found ? { ...entry, entity: [`Notice/${id}`] } : { ...entry, outcome: 4, detail: 'not-found' }]);
    return found;
  });
  if (!known) throw notFound();
  return h.response().code(204);
}

const toNotice = (event: StoredEvent): Notices['notices'][number] => ({
  id: String(event.id),
  topic: event.topic,
  created: event.created.toISOString(),
  about: event.payload,
});

/** @throws Refusal 403 for those who do not act for an organization; the attempt is on record by then. */
async function authorize(
  deps: NoticesDeps,
  request: Request,
  subtype: string,
): Promise<{ organizationId: string; entry: AuditEntry }> {
  const caller = callerOfRequest(request);
  const entry = (decision: Decision): AuditEntry => ({
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'access',
    subtype,
    action: 'U',
    outcome: 0,
    custodianId: caller.organizationId || undefined,
    ...decidedBy(decision),
  });
  const decision = await deps.db.snapshot((tx) =>
    permitted(deps, tx, caller, {
      decide: (access) => access.decideGeneral('be-told'),
      isFor: caller.organizationId !== '',
      entry,
      refusal: 'Notices are for those who act for an organization.',
    }),
  );
  return { organizationId: caller.organizationId, entry: entry(decision) };
}
