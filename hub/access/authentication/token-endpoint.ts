import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { RequestContext } from '../caller.js';
import { claimedClient } from './client-assertion.js';
import { CLIENT_ID } from './client-id.js';
import { requestContext } from './request-context.js';
import { Throttle } from './throttle.js';
import { TokenError } from './token-error.js';
import { readTokenForm, type TokenForm, type TokenResponse } from './token-form.js';

export type GrantHandler = (form: TokenForm, context: RequestContext) => Promise<TokenResponse>;

export interface TokenEndpointDeps {
  config: Config;
  audit: Audit;
  log: Logger;
  /** By `grant_type`. */
  grants: Readonly<Record<string, GrantHandler>>;
}

const MAX_BODY = 32 * 1024;

/**
 * `POST /token` (RFC 6749 3.2). Each issue and each refusal is recorded before it is answered; attempts beyond the throttle are not looked
 * at, and recorded once, when it sets in.
 */
export function registerTokenEndpoint(server: Server, deps: TokenEndpointDeps): void {
  const throttle = new Throttle();
  server.route({
    method: 'POST',
    path: '/token',
    options: {
      auth: false,
      // A body that can't be read reaches the handler as none, and is refused and recorded like any other.
      payload: { allow: 'application/x-www-form-urlencoded', maxBytes: MAX_BODY, failAction: 'ignore' },
    },
    handler: (request, h) => answerTokenRequest(deps, throttle, request, h),
  });
}

async function answerTokenRequest(
  deps: TokenEndpointDeps,
  throttle: Throttle,
  request: Request,
  h: ResponseToolkit,
): Promise<ResponseObject> {
  const context = requestContext(request, deps.config);
  const client = claimedClientId(request.payload);
  const reply = (body: object, status: number) =>
    h.response(body).code(status).type('application/json').header('cache-control', 'no-store').header('pragma', 'no-cache');
  if (!throttle.allows(context.address, client)) {
    return reply(new TokenError('slow_down', 'throttled').body, 429).header('retry-after', '60');
  }
  try {
    return reply(await grantToken(deps, request.payload, context), 200);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    if (error.error === 'slow_down') return reply(error.body, error.status).header('retry-after', '1'); // recorded by the limit
    if (!error.about.agent) throttle.failed(context.address, client); // one who proved who he is does not guess
    const throttled = throttle.allows(context.address, client) ? '' : '; further attempts are not looked at for a minute';
    await recordRefusal(deps, error, client, throttled, context);
    return reply(error.body, error.status);
  }
}

function grantToken(deps: TokenEndpointDeps, payload: unknown, context: RequestContext): Promise<TokenResponse> {
  const form = readTokenForm(payload);
  const grant = Object.hasOwn(deps.grants, form.grant_type) ? deps.grants[form.grant_type] : undefined;
  if (!grant) throw new TokenError('unsupported_grant_type', 'grant type');
  return grant(form, context);
}

async function recordRefusal(
  deps: TokenEndpointDeps,
  error: TokenError,
  client: string,
  throttled: string,
  context: RequestContext,
): Promise<void> {
  deps.log.info({ reason: error.reason, requestId: context.requestId }, 'token refused');
  await deps.audit.commit([
    {
      type: 'authentication',
      subtype: 'token',
      action: 'E',
      outcome: 4,
      agent: error.about.agent ?? 'Anonymous',
      ...(client ? { entity: [`Client/${client}`] } : {}),
      detail: `${error.error}: ${error.reason}${throttled}`,
      ...context,
    },
  ]);
}

/** Whom the request says it is from, for counting and for the record; '' when that is no client id. */
function claimedClientId(payload: unknown): string {
  const { client_assertion: assertion, client_id: id } = (payload ?? {}) as { client_assertion?: unknown; client_id?: unknown };
  const claimed = typeof assertion === 'string' ? claimedClient(assertion) : id;
  return typeof claimed === 'string' && CLIENT_ID.test(claimed) ? claimed : '';
}
