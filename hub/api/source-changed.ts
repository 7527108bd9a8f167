import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { requestContext } from '../access/authentication/request-context.js';
import { Throttle } from '../access/authentication/throttle.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import type { Sources } from '../ingest/watch-sources.js';
import { tooMany, unauthenticated } from '../outcomes.js';

export interface SourceChangedDeps {
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
  sources: Pick<Sources, 'announced'>;
}

/** A source that announces each object is on record once a minute. */
const RECORDED_EVERY_MS = 60_000;
const SOURCE_ID = /^[A-Za-z0-9.-]{1,64}$/;

/**
 * `POST /sources/{id}/changed`: an archive says that something changed in it, by the token that its hospital's record gives it (an archive's script has no key
 * to sign with). The token opens nothing and shows nothing: whoever has it can have the source read, which is done anyway. The hub is told that
 * something changed, never what: it asks the source.
 */
export function registerSourceChanged(server: Server, deps: SourceChangedDeps): void {
  const throttle = new Throttle();
  const recorded = new Map<string, number>();
  server.route({
    method: 'POST',
    path: '/sources/{id}/changed',
    options: { auth: false, payload: { maxBytes: 64 * 1024, failAction: 'ignore' } },
    handler: (request, h) => takeNotice(deps, throttle, recorded, request, h),
  });
}

async function takeNotice(
  deps: SourceChangedDeps,
  throttle: Throttle,
  recorded: Map<string, number>,
  request: Request,
  h: ResponseToolkit,
): Promise<ResponseObject> {
  const context = requestContext(request, deps.config);
  const id = SOURCE_ID.exec(String(request.params['id']))?.[0] ?? '';
  const entry: AuditEntry = {
    type: 'ingest',
    subtype: 'source-changed',
    action: 'E',
    outcome: 0,
    agent: `Device/connector-${id}`,
    entity: [`Connector/${id}`],
    ...context,
  };
  if (!throttle.allows(context.address, id)) throw tooMany('Too many attempts.', 60);
  const [, token = ''] = /^Bearer ([\w.~+/=-]{1,256})$/i.exec(String(request.headers.authorization ?? '')) ?? [];
  if (!(await deps.sources.announced(id, token))) {
    throttle.failed(context.address, id);
    await deps.audit.commit([{ ...entry, outcome: 4, agent: 'Anonymous', detail: 'not its token' }]);
    throw unauthenticated();
  }
  if (Date.now() - (recorded.get(id) ?? 0) >= RECORDED_EVERY_MS) {
    recorded.set(id, Date.now());
    await deps.audit.commit([entry]);
  }
  return h.response().code(202);
}
