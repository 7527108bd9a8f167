import type { Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import type { Audit } from '../../audit/vocabulary.js';
import { type Config, secretsOf } from '../../config.js';
import type { Database } from '../../store/database.js';
import type { RequestContext } from '../caller.js';
import { registerBearer } from './bearer-scheme.js';
import { enrolPatient } from './bind-patient.js';
import { fetchFromConfigured, fetchFromRegistered } from './bounded-fetch.js';
import { clientAuthentication } from './client-assertion.js';
import { clientCredentials } from './client-credentials.js';
import { issuerKeys, KEY_SET_COOLDOWN } from './key-set.js';
import { registerMetadata } from './metadata.js';
import { createRateLimit } from './rate-limit.js';
import { loadSigningKey } from './signing-key.js';
import { type IssueAccessToken, exceptionalAccessTokens } from './exceptional-access-token.js';
import { findOpenAccess } from './open-access.sql.js';
import { type Standing, type Standings, standings } from './standing.js';
import { registerTokenEndpoint } from './token-endpoint.js';
import { TOKEN_EXCHANGE, tokenExchange } from './token-exchange.js';
import { type AccessToken, accessTokenVerifier } from './verify-access-token.js';

export interface AuthenticationDeps {
  config: Config;
  db: Database;
  audit: Audit;
  log: Logger;
  /** Milliseconds between two fetches of the issuer's keys for unknown key ids. */
  keySetCooldown?: number;
}

/**
 * Who is calling: the strategy `bearer` (default), the token endpoint with its two grants, and the documents that describe them.
 * Makes the hub's signing key on first start. @returns how tokens for an exceptional access are issued.
 * @throws Error when the key was sealed with another secret
 */
export async function registerAuthentication(server: Server, deps: AuthenticationDeps): Promise<IssueAccessToken> {
  const { config, db, audit, log } = deps;
  const key = await loadSigningKey(db, secretsOf(config));
  const keysOfIssuer = config.oidcIssuer
    ? issuerKeys(config.oidcIssuer, fetchFromConfigured(config), deps.keySetCooldown ?? KEY_SET_COOLDOWN)
    : undefined;
  const verify = accessTokenVerifier(config, key, keysOfIssuer);
  const registry = standings(db);
  const standingOf = (token: AccessToken, context: RequestContext) => findStanding(deps, registry, token, context);
  const authenticate = clientAuthentication(config, registry, fetchFromRegistered(config));

  const limit = createRateLimit(config, audit);

  registerBearer(server, { config, audit, log, verify, limit, standingOf, openAccess: (id) => findOpenAccess(db, id) });
  registerTokenEndpoint(server, {
    config,
    audit,
    log,
    grants: {
      client_credentials: (form, context) => clientCredentials({ config, db, audit, key, authenticate, limit }, form, context),
      ...(config.oidcIssuer
        ? {
            [TOKEN_EXCHANGE]: (form, context) =>
              tokenExchange({ config, db, audit, key, verify, limit, standingOf }, form, context),
          }
        : {}),
    },
  });
  registerMetadata(server, config, key);
  return exceptionalAccessTokens({ config, audit, key });
}

/** The registry's word on the bearer; a patient whose issuer checked her national identifier is enrolled when she first comes. */
async function findStanding(
  { db, audit }: AuthenticationDeps,
  registry: Standings,
  token: AccessToken,
  context: RequestContext,
): Promise<Standing | undefined> {
  if (token.signedBy === 'hub') return registry.ofSubject(token.subject);
  if (!/^[\x21-\x7e]{1,255}$/.test(token.subject)) return undefined;
  return (await registry.ofPerson(token.issuer, token.subject)) ?? enrolPatient(db, audit, token, context);
}
