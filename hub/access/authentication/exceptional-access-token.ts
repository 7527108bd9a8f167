import type { Request } from '@hapi/hapi';
import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { Purpose, Role } from '../caller.js';
import { callerOfRequest, standingOfRequest } from './bearer-scheme.js';
import { type Grant, signToken, tokenIssued } from './issue-token.js';
import type { OpenAccess } from './open-access.sql.js';
import { requestContext } from './request-context.js';
import type { SigningKey } from './signing-key.js';
import type { TokenResponse } from './token-form.js';

/** Issues a token for an exceptional access of the request's own caller. */
export type IssueAccessToken = (request: Request, open: OpenAccess) => Promise<TokenResponse>;

const ROLE: Readonly<Record<OpenAccess['kind'], Role>> = { 'break-glass': 'physician', oversight: 'commission-officer' };

/**
 * Tokens that act under one exceptional access: as lasting as any other of the hub's, never longer than the access, and worth nothing once it
 * is over, because each request looks whether it is open. The scope is the caller's; the time of authentication is what it was.
 */
export function exceptionalAccessTokens(deps: {
  config: Config;
  audit: Pick<Audit, 'commit'>;
  key: SigningKey;
}): IssueAccessToken {
  return async (request, open) => {
    const caller = callerOfRequest(request);
    const purpose: Purpose = open.kind === 'break-glass' ? 'BTG' : caller.purposeOfUse;
    const grant: Grant = {
      standing: standingOfRequest(request),
      capacity: { role: ROLE[open.kind], purpose, organizationId: caller.organizationId },
      clientId: caller.clientId,
      scope: caller.scope,
      authenticatedAt: caller.authenticatedAt,
      lifetime: Math.max(1, Math.min(deps.config.tokenLifetime, open.seconds)),
      exceptionalAccess: open.id,
    };
    await deps.audit.commit([tokenIssued(grant, open.kind, requestContext(request, deps.config))]);
    return {
      access_token: await signToken(deps.config, deps.key, grant),
      token_type: 'bearer',
      expires_in: grant.lifetime,
      scope: grant.scope,
    };
  };
}
