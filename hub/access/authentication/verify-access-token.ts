import { createHash } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Config } from '../../config.js';
import { BoundedCache } from './bounded-cache.js';
import { type AssertedContext, assertedContext } from './iua-claims.js';
import { NotAuthentic } from './not-authentic.js';
import { EXCEPTIONAL_ACCESS } from './issue-token.js';
import { SIGNING_ALGORITHM, type SigningKey } from './signing-key.js';
import { tokenType } from './token-type.js';

/** What a sound access token says. Organization, role and purpose are only asserted: the registry decides whether they hold. */
export interface AccessToken {
  /** Who signed it: the hub's own token endpoint, or the issuer that people sign in at. */
  signedBy: 'hub' | 'issuer';
  issuer: string;
  subject: string;
  clientId: string;
  scope: string;
  asserted: AssertedContext;
  /** When the person last proved who she is, in seconds since the epoch; 0 where the issuer does not say, so that it never counts as fresh. */
  authenticatedAt: number;
  /** Seconds since the epoch. */
  expires: number;
  /** The exceptional access that a token of the hub's own was given for. An issuer can't name one. */
  exceptionalAccess?: string;
  /** The person's name and national identifier, where the issuer vouches for them. */
  name?: string;
  nationalIdentifier?: string;
}

export type VerifyAccessToken = (token: string) => Promise<AccessToken>;

/** Longest token that is looked at, in characters. */
export const MAX_TOKEN_LENGTH = 8192;
/** Most verified tokens kept, and longest time for which one is kept, in milliseconds: a key that its issuer withdraws counts no longer than this. */
const CACHED_TOKENS = 10_000;
const CACHED_FOR = 300_000;
/** Signatures only by key pairs: with `HS*` the published key itself could sign (RFC 8725, 3.1). */
const ISSUER_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** Issuers differ in the type they write; these are none that belongs to another kind of token (logout, assertion, DPoP proof). */
const ISSUER_TYPES = new Set(['at+jwt', 'application/at+jwt', 'jwt', '']);

/**
 * Verifies JWT access tokens (RFC 9068, RFC 8725) of the hub and of the configured issuer. Signature work is done once a token: what was
 * verified is kept by the token's SHA-256 until it expires. @throws {NotAuthentic} or a jose error
 */
export function accessTokenVerifier(
  config: Pick<Config, 'publicUrl' | 'oidcIssuer' | 'oidcAudience' | 'clockLeeway'>,
  key: SigningKey,
  keysOfIssuer: JWTVerifyGetKey | undefined,
): VerifyAccessToken {
  const verified = new BoundedCache<AccessToken>(CACHED_TOKENS);
  const own = createLocalJWKSet({ keys: [key.publicJwk] });
  return async (token) => {
    if (token.length > MAX_TOKEN_LENGTH) throw new NotAuthentic('too long');
    const digest = createHash('sha256').update(token).digest('base64');
    const known = verified.get(digest);
    if (known) return known;
    const { iss } = decodeJwt(token);
    const read =
      iss === config.publicUrl ? await verifyOwn(token, own, config) : await verifyIssuers(token, iss, keysOfIssuer, config);
    const lasts = (read.expires + config.clockLeeway) * 1000;
    return verified.set(digest, read, Math.min(lasts, Date.now() + CACHED_FOR));
  };
}

async function verifyOwn(
  token: string,
  keys: JWTVerifyGetKey,
  config: Pick<Config, 'publicUrl' | 'clockLeeway'>,
): Promise<AccessToken> {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: [SIGNING_ALGORITHM],
    typ: 'at+jwt',
    issuer: config.publicUrl,
    audience: config.publicUrl,
    clockTolerance: config.clockLeeway,
    requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
  });
  return { ...accessToken('hub', payload), exceptionalAccess: text(payload[EXCEPTIONAL_ACCESS]) };
}

async function verifyIssuers(
  token: string,
  issuer: string | undefined,
  keys: JWTVerifyGetKey | undefined,
  config: Pick<Config, 'publicUrl' | 'oidcIssuer' | 'oidcAudience' | 'clockLeeway'>,
): Promise<AccessToken> {
  if (!keys || !config.oidcIssuer || issuer !== config.oidcIssuer) throw new NotAuthentic('unknown issuer');
  assertIsNoOtherKind(token);
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ISSUER_ALGORITHMS,
    issuer: config.oidcIssuer,
    audience: config.oidcAudience ?? config.publicUrl,
    clockTolerance: config.clockLeeway,
    requiredClaims: ['exp', 'sub'],
  });
  return accessToken('issuer', payload);
}

/**
 * An ID token tells a client who signed in; it is no key to the hub, not even where client and hub share an audience. Not every issuer
 * writes RFC 9068's type, so without it the token has to look like an access token and must not look like anything else.
 */
function assertIsNoOtherKind(token: string): void {
  const type = tokenType(token);
  if (!ISSUER_TYPES.has(type)) throw new NotAuthentic('another kind of token');
  if (type.endsWith('at+jwt')) return;
  const claims = decodeJwt(token);
  const foreign = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events'].some((claim) => claim in claims);
  const named = claims['typ'] === 'ID' || claims['token_use'] === 'id';
  const granted = 'scope' in claims || 'scp' in claims;
  if (foreign || named || !granted) throw new NotAuthentic('another kind of token');
}

function accessToken(signedBy: AccessToken['signedBy'], claims: JWTPayload): AccessToken {
  const scope = claims['scope'] ?? claims['scp'];
  return {
    signedBy,
    issuer: String(claims.iss),
    subject: String(claims.sub),
    clientId: text(claims['client_id']) ?? text(claims['azp']) ?? '',
    scope: Array.isArray(scope) ? scope.join(' ') : (text(scope) ?? ''),
    asserted: assertedContext(claims),
    authenticatedAt: typeof claims['auth_time'] === 'number' ? claims['auth_time'] : 0,
    expires: Number(claims.exp),
    name: text(claims['name']),
    nationalIdentifier: claims['national_identifier_verified'] === true ? text(claims['national_identifier']) : undefined,
  };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
