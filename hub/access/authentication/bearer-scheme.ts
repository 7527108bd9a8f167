import type { Request, Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import { forbidden, unauthenticated } from '../../outcomes.js';
import type { Caller, RequestContext } from '../caller.js';
import type { OpenAccess } from './open-access.sql.js';
import { capacityOf, callerOf, scopeOf } from './capacity.js';
import { reasonOf } from './not-authentic.js';
import type { RateLimit } from './rate-limit.js';
import { costOfRequest } from './request-cost.js';
import { requestContext } from './request-context.js';
import type { Standing } from './standing.js';
import type { AccessToken, VerifyAccessToken } from './verify-access-token.js';

export interface BearerDeps {
  config: Config;
  audit: Audit;
  log: Logger;
  verify: VerifyAccessToken;
  limit: RateLimit;
  standingOf: (token: AccessToken, context: RequestContext) => Promise<Standing | undefined>;
  /** The exceptional access of this id, if it is open now. */
  openAccess: (id: string) => Promise<OpenAccess | undefined>;
}

/**
 * The default strategy `bearer` (RFC 6750, header only). Two answers, each always the same: 401 when the token does not hold or there is
 * none; 403 when it holds but the registry gives its bearer no standing (no account, disabled, suspended organization, a role or purpose
 * that is not his). The second is no 401, because to sign in again would not help; it tells only what the bearer knows: he signed in.
 */
export function registerBearer(server: Server, deps: BearerDeps): void {
  server.auth.scheme('hub-bearer', () => ({
    authenticate: async (request, h) => h.authenticated({ credentials: { ...(await authenticate(deps, request)) } }),
  }));
  server.auth.strategy('bearer', 'hub-bearer');
  server.auth.default('bearer');
}

/** The caller of an authenticated request. @throws {Refusal} 401 where a route let the request through without one */
export function callerOfRequest(request: Request): Caller {
  const caller = request.auth.credentials?.['caller'] as Caller | undefined;
  if (!caller) throw unauthenticated();
  return caller;
}

/** What the registry says of the caller of an authenticated request. */
export function standingOfRequest(request: Request): Standing {
  const standing = request.auth.credentials?.['standing'] as Standing | undefined;
  if (!standing) throw unauthenticated();
  return standing;
}

/** Takes what the body of a request adds to its cost. @throws {Refusal} 429 */
export async function chargeRequest(request: Request, cost: number): Promise<void> {
  await (request.auth.credentials?.['charge'] as Credentials['charge'] | undefined)?.(cost);
}

/** Milliseconds since the epoch at which the token of an authenticated request ends; undefined where it has no end. */
export function endOfToken(request: Request): number | undefined {
  const expires = request.auth.credentials?.['expires'] as number | undefined;
  return expires === undefined ? undefined : expires * 1000;
}

interface Credentials {
  caller: Caller;
  /** Of the token, seconds since the epoch. */
  expires: number;
  standing: Standing;
  charge: (cost: number) => Promise<void>;
}

/** The cost is taken before anything is looked up: a flood that is refused costs a signature at most. */
async function authenticate(deps: BearerDeps, request: Request): Promise<Credentials> {
  const context = requestContext(request, deps.config);
  const token = await verified(deps, request, context);
  const charge = (cost: number): Promise<void> => deps.limit.charge(token, cost, context);
  await charge(costOfRequest({ method: request.method.toUpperCase(), path: request.path, query: request.url.searchParams }));
  const standing = await deps.standingOf(token, context);
  const open = token.exceptionalAccess === undefined ? undefined : await deps.openAccess(token.exceptionalAccess);
  if (standing && token.exceptionalAccess !== undefined && !open) {
    await withoutStanding(deps, token, standing, context, 'the exceptional access is over');
    throw unauthenticated();
  }
  const capacity = standing && capacityOf(standing, token.asserted, open?.kind);
  const caller =
    standing && capacity && callerOf(standing, capacity, { ...token, scope: scopeOf(standing, capacity.role, token.scope) });
  if (!standing || !caller || (open && !isOf(open, caller))) throw await withoutStanding(deps, token, standing, context);
  return { caller, expires: token.expires, standing, charge };
}

/** An exceptional access is one person's, for one organization: a token that names another's is nobody's. */
const isOf = (open: OpenAccess, caller: Caller): boolean =>
  open.agent === caller.id && open.organization_id === caller.organizationId;

async function verified(deps: BearerDeps, request: Request, context: RequestContext): Promise<AccessToken> {
  const [, token] = /^Bearer ([\w.~+/=-]+)$/i.exec((request.headers.authorization as string | undefined) ?? '') ?? [];
  if (!token) throw unauthenticated();
  try {
    return await deps.verify(token);
  } catch (error) {
    deps.log.info({ reason: reasonOf(error), requestId: context.requestId }, 'access token refused');
    throw unauthenticated();
  }
}

async function withoutStanding(
  deps: BearerDeps,
  token: AccessToken,
  standing: Standing | undefined,
  context: RequestContext,
  detail = standing ? 'no standing in this capacity' : 'no account',
): Promise<Error> {
  await deps.audit.commit([
    {
      type: 'authentication',
      subtype: 'login',
      action: 'E',
      outcome: 4,
      agent: standing?.subject ?? 'Anonymous',
      agentName: standing?.name,
      clientId: token.clientId,
      detail,
      evidence: { issuer: token.issuer, subject: token.subject },
      ...context,
    },
  ]);
  return forbidden('Access is not permitted.');
}
