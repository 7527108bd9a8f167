import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { Queryable } from '../../store/database.js';
import type { RequestContext } from '../caller.js';
import { agreed, capacityOf, scopeOf } from './capacity.js';
import { type Grant, signToken, tokenIssued } from './issue-token.js';
import { type LaunchContext, takeLaunch } from './launch-context.sql.js';
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
  db: Queryable;
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
  const launched = form.launch === undefined ? undefined : await launchFor(deps.db, form.launch, standing);
  const grant = grantFor(deps.config, token, standing, form);
  const how = launched ? 'token exchange, launch' : 'token exchange';
  const about = launched ? { patientId: launched.patientId, custodianId: launched.organizationId } : {};
  await deps.audit.commit([{ ...tokenIssued(grant, how, context), ...about }]);
  return {
    ...(launched ? { patient: launched.patientId, need_patient_banner: true } : {}),
    access_token: await signToken(deps.config, deps.key, grant),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'bearer',
    expires_in: grant.lifetime,
    scope: grant.scope,
  };
}

/**
 * The context that was opened for this very person (SMART App Launch 2). It is gone whoever shows it, and the refusal is the same for all that it can't be.
 * @throws {TokenError} `invalid_request`
 */
async function launchFor(on: Queryable, launch: string, { subject, organizationId }: Standing): Promise<LaunchContext> {
  const context = await takeLaunch(on, launch);
  if (context && subject === `Account/${context.accountId}` && organizationId === context.organizationId) return context;
  throw new TokenError('invalid_request', 'launch', {
    agent: subject,
    description: 'This launch is not, or no longer, for you: open the patient again from where you came.',
  });
}

/** Scopes that ask for a context and reach no resource. */
const CONTEXT_SCOPES = new Set(['launch', 'launch/patient', 'openid', 'fhirUser', 'profile']);

/** What is asked for beside the context; undefined: everything. */
const resourceScope = (scope: string | undefined): string | undefined =>
  scope
    ?.split(' ')
    .filter((word) => word !== '' && !CONTEXT_SCOPES.has(word))
    .join(' ') || undefined;

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
  const scope = form.launch === undefined ? form.scope : resourceScope(form.scope);
  if (scope !== undefined && !scopeCovers(whole, scope)) {
    throw new TokenError('invalid_scope', 'scope', { agent, description: 'The scope goes beyond the one of the subject token.' });
  }
  return {
    standing,
    capacity,
    clientId: token.clientId,
    scope: scope ?? whole,
    authenticatedAt: token.authenticatedAt,
    lifetime: Math.max(1, Math.min(config.tokenLifetime, token.expires - Math.floor(Date.now() / 1000))),
  };
}
