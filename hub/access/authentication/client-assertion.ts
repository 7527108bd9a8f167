import { createLocalJWKSet, decodeJwt, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Config } from '../../config.js';
import { BoundedCache } from './bounded-cache.js';
import type { BoundedFetch } from './bounded-fetch.js';
import { CLIENT_ID } from './client-id.js';
import { remoteKeys } from './key-set.js';
import { NotAuthentic } from './not-authentic.js';
import type { Standing, Standings } from './standing.js';
import { tokenType } from './token-type.js';

/** A client that proved who it is. The assertion is spent by its `jti` when the token is issued. */
export interface AuthenticatedClient {
  clientId: string;
  standing: Standing;
  jti: string;
  /** Seconds since the epoch. */
  expires: number;
}

export type AuthenticateClient = (assertion: string, clientId?: string) => Promise<AuthenticatedClient>;

/** SMART Backend Services asks for RS384 and ES384; ES256 and RS256 are what many libraries sign with. */
export const ASSERTION_ALGORITHMS = ['RS384', 'ES384', 'ES256', 'RS256'];
/** Seconds ahead that an assertion may expire at most (SMART Backend Services, "Authentication JWT Claims"). */
const LONGEST_ASSERTION = 300;
const MAX_JTI_LENGTH = 256;
const KEY_SETS = 1_000;
const KEY_SET_LIFETIME = 3_600_000;

/**
 * Verifies a client's signed assertion (RFC 7523, SMART App Launch 2.2 "Client Authentication: Asymmetric") against the keys of its
 * registration, never against keys that the assertion names (`jku`, `jwk`, `x5c`). @throws {NotAuthentic} or a jose error
 */
export function clientAuthentication(
  config: Pick<Config, 'publicUrl' | 'clockLeeway'>,
  registry: Standings,
  fetch: BoundedFetch,
): AuthenticateClient {
  const remote = new BoundedCache<JWTVerifyGetKey>(KEY_SETS);
  const keysOf = (client: Standing): JWTVerifyGetKey => {
    if (client.jwks) return createLocalJWKSet(client.jwks as unknown as Parameters<typeof createLocalJWKSet>[0]);
    const uri = client.jwksUri;
    if (!uri) throw new NotAuthentic('no keys');
    return remote.get(uri) ?? remote.set(uri, remoteKeys(uri, fetch), Date.now() + KEY_SET_LIFETIME);
  };
  return async (assertion, clientId) => {
    const id = claimedClient(assertion);
    if (!CLIENT_ID.test(id) || (clientId !== undefined && clientId !== id)) throw new NotAuthentic('client id');
    const standing = await registry.ofClient(id);
    if (!standing) throw new NotAuthentic('unknown client');
    const claims = await verify(assertion, id, keysOf(standing), config);
    return { clientId: id, standing, ...claims };
  };
}

/** Who the assertion says it is from; '' when it says nothing that can be read. Nothing is proven by it. */
export function claimedClient(assertion: string): string {
  try {
    return decodeJwt(assertion).iss ?? '';
  } catch {
    return '';
  }
}

async function verify(
  assertion: string,
  clientId: string,
  keys: JWTVerifyGetKey,
  { publicUrl, clockLeeway }: Pick<Config, 'publicUrl' | 'clockLeeway'>,
): Promise<{ jti: string; expires: number }> {
  if (!['', 'jwt'].includes(tokenType(assertion))) throw new NotAuthentic('another kind of token');
  const { payload } = await jwtVerify(assertion, keys, {
    algorithms: ASSERTION_ALGORITHMS,
    issuer: clientId,
    subject: clientId,
    audience: [`${publicUrl}/token`, publicUrl],
    clockTolerance: clockLeeway,
    requiredClaims: ['exp', 'jti'],
  });
  // An assertion that is good elsewhere too could be passed on from there.
  if (Array.isArray(payload.aud) && payload.aud.length !== 1) throw new NotAuthentic('several audiences');
  const { jti, exp: expires = 0 } = payload;
  if (expires > Date.now() / 1000 + LONGEST_ASSERTION + clockLeeway) throw new NotAuthentic('valid for too long');
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH || jti.includes('\0')) throw new NotAuthentic('jti');
  return { jti, expires };
}
