import type { Server } from '@hapi/hapi';
import type { Config } from '../../config.js';
import { ASSERTION_ALGORITHMS } from './client-assertion.js';
import type { SigningKey } from './signing-key.js';
import { TOKEN_EXCHANGE } from './token-exchange.js';

/** Where clients find the hub's endpoints and keys; public, and only what there is. */
export function registerMetadata(server: Server, config: Pick<Config, 'publicUrl' | 'oidcIssuer'>, key: SigningKey): void {
  const smart = smartConfiguration(config);
  publish(server, '/.well-known/smart-configuration', smart);
  publish(server, '/fhir/.well-known/smart-configuration', smart);
  publish(server, '/.well-known/oauth-authorization-server', authorizationServer(config));
  publish(server, '/.well-known/oauth-protected-resource', protectedResource(config));
  publish(server, '/jwks', { keys: [key.publicJwk] });
}

function publish(server: Server, path: string, document: object): void {
  server.route({
    method: 'GET',
    path,
    options: { auth: false, cache: { expiresIn: 300_000, privacy: 'public' } },
    handler: (_request, h) => h.response(document).type('application/json'),
  });
}

function tokenEndpoint({ publicUrl, oidcIssuer }: Pick<Config, 'publicUrl' | 'oidcIssuer'>) {
  return {
    token_endpoint: `${publicUrl}/token`,
    jwks_uri: `${publicUrl}/jwks`,
    grant_types_supported: ['client_credentials', ...(oidcIssuer ? [TOKEN_EXCHANGE] : [])],
    token_endpoint_auth_methods_supported: ['private_key_jwt', ...(oidcIssuer ? ['none'] : [])],
    token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    scopes_supported: ['system/*.cruds', 'system/*.rs', 'user/*.cruds', 'user/*.rs', 'patient/*.cruds', 'patient/*.rs', 'launch'],
  };
}

/**
 * SMART App Launch 2.2, "Conformance". There is no authorization endpoint, since people sign in at the issuer: so neither `launch-ehr` nor `context-ehr-patient`
 * is claimed, and no `issuer`, which stands for `sso-openid-connect`.
 */
function smartConfiguration(config: Pick<Config, 'publicUrl' | 'oidcIssuer'>) {
  return {
    ...tokenEndpoint(config),
    // Required of every SMART server; codes are redeemed at the issuer, which has to ask for the same.
    code_challenge_methods_supported: ['S256'],
    capabilities: ['client-confidential-asymmetric', 'permission-user', 'permission-patient', 'permission-v1', 'permission-v2'],
  };
}

/** RFC 8414. */
function authorizationServer(config: Pick<Config, 'publicUrl' | 'oidcIssuer'>) {
  return { issuer: config.publicUrl, ...tokenEndpoint(config), response_types_supported: [] };
}

/** RFC 9728: where a client gets tokens for this resource. */
function protectedResource({ publicUrl, oidcIssuer }: Pick<Config, 'publicUrl' | 'oidcIssuer'>) {
  return {
    resource: publicUrl,
    authorization_servers: [publicUrl, ...(oidcIssuer ? [oidcIssuer] : [])],
    jwks_uri: `${publicUrl}/jwks`,
    bearer_methods_supported: ['header'],
  };
}
