import type { Audit } from '../../audit/vocabulary.js';
import type { Config } from '../../config.js';
import type { Database } from '../../store/database.js';
import type { RequestContext } from '../caller.js';
import { capacityOf, scopeOf } from './capacity.js';
import type { AuthenticateClient, AuthenticatedClient } from './client-assertion.js';
import { type Grant, signToken, tokenIssued } from './issue-token.js';
import { reasonOf } from './not-authentic.js';
import { type Bearer, chargeToken, type RateLimit } from './rate-limit.js';
import { scopeCovers } from './scopes.js';
import type { SigningKey } from './signing-key.js';
import { forgetSpentAssertions, spendAssertion } from './spend-assertion.sql.js';
import { TokenError } from './token-error.js';
import type { TokenForm, TokenResponse } from './token-form.js';

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Seconds that a spent `jti` is remembered beyond the assertion's expiry, for clocks of hub processes that differ. */
const MARGIN = 60;

export interface ClientCredentialsDeps {
  config: Config;
  db: Database;
  audit: Audit;
  key: SigningKey;
  authenticate: AuthenticateClient;
  limit: RateLimit;
}

/**
 * A token for a system (SMART Backend Services; RFC 6749 4.4 with RFC 7523). The assertion is spent and the issue recorded in one
 * transaction, before the token exists. @throws {TokenError}
 */
export async function clientCredentials(
  deps: ClientCredentialsDeps,
  form: TokenForm,
  context: RequestContext,
): Promise<TokenResponse> {
  const client = await authenticated(deps, form);
  await chargeToken(deps.limit, bearerOf(deps.config, client), context);
  const grant = grantFor(deps.config, client, form);
  await deps.db.transaction(async (tx) => {
    await tx.query(forgetSpentAssertions(client.clientId));
    const [first] = await tx.query(spendAssertion(client.clientId, client.jti, forgetAt(client.expires, deps.config)));
    if (!first) throw new TokenError('invalid_client', 'replayed');
    await deps.audit.append(tx, [tokenIssued(grant, 'client credentials', context)]);
  });
  const { scope, lifetime } = grant;
  return { access_token: await signToken(deps.config, deps.key, grant), token_type: 'bearer', expires_in: lifetime, scope };
}

async function authenticated(deps: ClientCredentialsDeps, form: TokenForm): Promise<AuthenticatedClient> {
  if (form.client_assertion_type !== ASSERTION_TYPE || !form.client_assertion)
    throw new TokenError('invalid_client', 'no assertion');
  try {
    return await deps.authenticate(form.client_assertion, form.client_id);
  } catch (error) {
    throw new TokenError('invalid_client', reasonOf(error));
  }
}

/** As whom the token's own requests will be counted. */
const bearerOf = ({ publicUrl }: Config, { clientId, standing }: AuthenticatedClient): Bearer => ({
  issuer: publicUrl,
  subject: standing.subject,
  signedBy: 'hub',
  clientId,
});

function grantFor(config: Config, { clientId, standing }: AuthenticatedClient, form: TokenForm): Grant {
  const agent = standing.subject;
  const capacity = capacityOf(standing, { role: form.role, purpose: form.purpose_of_use });
  if (!capacity) {
    throw new TokenError('invalid_request', 'capacity', { agent, description: 'This role or purpose of use is not granted.' });
  }
  if (form.scope !== undefined && !scopeCovers(standing.scope, form.scope)) {
    throw new TokenError('invalid_scope', 'scope', { agent, description: 'The scope goes beyond the registered one.' });
  }
  return {
    standing,
    capacity,
    clientId,
    scope: scopeOf(standing, capacity.role, form.scope ?? standing.scope),
    authenticatedAt: Math.floor(Date.now() / 1000),
    lifetime: config.tokenLifetime,
  };
}

const forgetAt = (expires: number, config: Config): Date => new Date((expires + config.clockLeeway + MARGIN) * 1000);
