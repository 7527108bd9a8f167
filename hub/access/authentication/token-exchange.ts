import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { RequestContext } from '../caller.js';
import { agreed, capacityOf, scopeOf } from './capacity.js';
import { type Grant, signToken, tokenIssued } from './issue-token.js';
import { NotAuthentic, reasonOf } from './not-authentic.js';
import { type RateLimit, chargeToken } from './rate-limit.js';
import { scopeCovers } from './scopes.js';
import type { SigningKey } from './signing-key.js';
import type { Standing } from './standing.js';
import { TokenError } from './token-error.js';
import type { TokenForm, TokenResponse } from './token-form.js';
import type { AccessToken, VerifyAccessToken } from './verify-access-token.js';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

export interface TokenExchangeDeps {
  config: Config;
  audit: Audit;
  key: SigningKey;
  verify: VerifyAccessToken;
  limit: RateLimit;
  standingOf: (token: AccessToken, context: RequestContext) => Promise<Standing | undefined>;
}

/**
 * How a person chooses her capacity where the issuer can't put it into its token: an access token of the issuer for one of the hub's,
 * with one role and purpose (RFC 8693). It lives no longer than the one it was given for and never widens what that one states; a token of
 * the hub's own is not exchanged, so no capacity is prolonged. @throws {TokenError} `invalid_request`, whatever was wrong with the subject token; `slow_down`
 */
export async function tokenExchange(deps: TokenExchangeDeps, form: TokenForm, context: RequestContext): Promise<TokenResponse> {
  assertIsForUs(deps.config, form);
  const token = await subjectToken(deps, form);
  await chargeToken(deps.limit, token, context);
  const standing = await deps.standingOf(token, context);
  if (!standing) throw new TokenError('invalid_request', 'no account');
  const grant = grantFor(deps.config, token, standing, form);
  await deps.audit.commit([tokenIssued(grant, 'token exchange', context)]);
  return {
    access_token: await signToken(deps.config, deps.key, grant),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'bearer',
    expires_in: grant.lifetime,
    scope: grant.scope,
  };
}

function assertIsForUs({ publicUrl }: Config, form: TokenForm): void {
  const isTarget = (target?: string) => target === undefined || target.replace(/\/$/, '') === publicUrl;
  if (!isTarget(form.audience) || !isTarget(form.resource)) throw new TokenError('invalid_target', 'target');
  if (form.subject_token_type !== ACCESS_TOKEN_TYPE || (form.requested_token_type ?? ACCESS_TOKEN_TYPE) !== ACCESS_TOKEN_TYPE) {
    throw new TokenError('invalid_request', 'token type', { description: 'only access tokens are exchanged' });
  }
}

async function subjectToken(deps: TokenExchangeDeps, form: TokenForm): Promise<AccessToken> {
  try {
    const token = await deps.verify(form.subject_token ?? '');
    if (token.signedBy !== 'issuer') throw new NotAuthentic('a token of the hub');
    return token;
  } catch (error) {
    throw new TokenError('invalid_request', reasonOf(error));
  }
}

function grantFor(config: Config, token: AccessToken, standing: Standing, form: TokenForm): Grant {
  const agent = standing.subject;
  const asked = agreed(token.asserted, { role: form.role, purpose: form.purpose_of_use });
  const capacity = asked && capacityOf(standing, asked);
  if (!capacity) {
    throw new TokenError('invalid_request', 'capacity', { agent, description: 'This role or purpose of use is not granted.' });
  }
  const whole = scopeOf(standing, capacity.role, token.scope);
  if (form.scope !== undefined && !scopeCovers(whole, form.scope)) {
    throw new TokenError('invalid_scope', 'scope', { agent, description: 'The scope goes beyond the one of the subject token.' });
  }
  return {
    standing,
    capacity,
    clientId: token.clientId,
    scope: form.scope ?? whole,
    authenticatedAt: token.authenticatedAt,
    lifetime: Math.max(1, Math.min(config.tokenLifetime, token.expires - Math.floor(Date.now() / 1000))),
  };
}
