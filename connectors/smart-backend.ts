import { randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, importJWK, type JWK, SignJWT } from 'jose';
import { z } from 'zod';
import { SourceError } from './connector.js';
import { asSourceError, type Outbound, type OutboundReply } from './outbound.js';

/** SMART App Launch 2.2, Backend Services: the hub is a client of a hospital's server, known by its key. */
export interface SmartCredentials {
  kind: 'smart';
  clientId: string;
  /** Private key (RFC 7517), EC P-384 or P-256, or RSA. */
  privateKey: JWK;
  /** By default what the server publishes in `.well-known/smart-configuration`, if that is at the server's own origin. */
  tokenUrl?: string;
  scope: string;
}

/** Access tokens of one server, got when they are needed and kept until shortly before they expire. */
export interface AccessTokens {
  /** @throws SourceError */
  get(): Promise<string>;
  /** The server no longer takes this one. */
  forget(token: string): void;
}

export interface SmartSettings {
  outbound: Outbound;
  /** Base of the server. */
  baseUrl: string;
  credentials: SmartCredentials;
  /** PEM file of the authorities that are believed instead of the public ones. */
  tlsCa?: string;
}

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_SECONDS = 240;
const WAIT_MS = 30_000;
const MOST_BYTES = 64 * 1024;
/** What is kept back of a token's life, at most a tenth of it, s; and how long one lives that does not say it. */
const BEFORE_EXPIRY = 60;
const UNSTATED_LIFE = 300;

/**
 * Tokens by client credentials and a signed assertion (RFC 7523), through the way out that the source's requests take. Whoever asks while one is being got
 * waits for the same one. Neither key, assertion nor token is in an error.
 */
export function createAccessTokens(settings: SmartSettings): AccessTokens {
  let held: { token: string; until: number } | undefined;
  let getting: Promise<string> | undefined;
  const renew = async (): Promise<string> => {
    const { token, seconds } = await askForToken(settings);
    held = { token, until: Date.now() + (seconds - Math.min(BEFORE_EXPIRY, seconds / 10)) * 1_000 };
    return token;
  };
  return {
    async get() {
      if (held && Date.now() < held.until) return held.token;
      getting ??= renew().finally(() => {
        getting = undefined;
      });
      return getting;
    },
    forget(token) {
      if (held?.token === token) held = undefined;
    },
  };
}

async function askForToken(settings: SmartSettings): Promise<{ token: string; seconds: number }> {
  const { outbound, credentials, tlsCa } = settings;
  const url = await tokenUrlOf(settings);
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: credentials.scope,
    client_assertion_type: JWT_BEARER,
    client_assertion: await assertion(credentials, url.href),
  }).toString();
  const reply = await asked(outbound, url, {
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body,
    ca: tlsCa,
  });
  if (reply.status >= 500) throw new SourceError('unreachable', `The token endpoint answers ${reply.status}.`);
  if (reply.status !== 200)
    throw new SourceError('refused', `The token endpoint refuses the hub (${reply.status}${codeOf(reply.json)}).`);
  const { access_token: token, token_type: type, expires_in: life } = (reply.json ?? {}) as Record<string, unknown>;
  if (typeof token !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(token) || String(type).toLowerCase() !== 'bearer')
    throw new SourceError('bad-response', 'The token endpoint answers no bearer token.');
  return { token, seconds: Number(life) > 0 ? Number(life) : UNSTATED_LIFE };
}

/** RFC 6749 section 5.2: the code alone, for a description may hold anything. */
function codeOf(json: unknown): string {
  const { error } = (json ?? {}) as { error?: unknown };
  return typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? `, ${error}` : '';
}

/** @throws SourceError `bad-response` where the server names no endpoint, or one elsewhere: a hospital's server does not choose where the hub posts. */
async function tokenUrlOf({ outbound, baseUrl, credentials, tlsCa }: SmartSettings): Promise<URL> {
  if (credentials.tokenUrl) return new URL(credentials.tokenUrl);
  const url = new URL(`${baseUrl.replace(/\/+$/, '')}/.well-known/smart-configuration`);
  const reply = await asked(outbound, url, { headers: { accept: 'application/json' }, ca: tlsCa });
  const { token_endpoint: endpoint } = (reply.json ?? {}) as { token_endpoint?: unknown };
  if (reply.status !== 200 || typeof endpoint !== 'string' || !URL.canParse(endpoint))
    throw new SourceError('bad-response', 'The source names no token endpoint (.well-known/smart-configuration).');
  const found = new URL(endpoint);
  if (found.origin !== new URL(baseUrl).origin)
    throw new SourceError(
      'bad-response',
      'The token endpoint that the source names is not at its own origin: tokenUrl has to say it.',
    );
  return found;
}

/** SMART "Authentication JWT": issuer and subject are the client, the audience is the token endpoint, good once and for minutes. */
async function assertion({ clientId, privateKey }: SmartCredentials, audience: string): Promise<string> {
  const alg = algorithmOf(privateKey);
  const kid = privateKey.kid ?? (await calculateJwkThumbprint(privateKey));
  return new SignJWT({})
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${ASSERTION_SECONDS}s`)
    .sign(await importJWK(privateKey, alg));
}

const algorithmOf = ({ alg, kty, crv }: JWK): string => alg ?? (kty === 'RSA' ? 'RS384' : crv === 'P-256' ? 'ES256' : 'ES384');

async function asked(
  outbound: Outbound,
  url: URL,
  request: Parameters<Outbound['request']>[1],
): Promise<{ status: number; json: unknown }> {
  const signal = AbortSignal.timeout(WAIT_MS);
  try {
    const reply = await outbound.request(url, { ...request, signal, headersTimeoutMs: WAIT_MS, idleTimeoutMs: WAIT_MS });
    return { status: reply.status, json: await jsonOf(reply) };
  } catch (error) {
    if (signal.aborted) throw new SourceError('timeout', 'The token endpoint does not answer in time.');
    throw asSourceError(error);
  }
}

async function jsonOf({ body }: OutboundReply): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += (chunk as Buffer).length;
    if (length > MOST_BYTES) throw new SourceError('bad-response', 'The token endpoint answers more than is due.');
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Private keys that the hub signs with. */
export const privateKey = z
  .looseObject({ kty: z.enum(['EC', 'RSA']), kid: z.string().min(1).max(256).optional() })
  .refine(({ kty, crv }) => kty === 'RSA' || crv === 'P-384' || crv === 'P-256', 'must be a key of P-384 or P-256, or RSA')
  .refine(({ d }) => typeof d === 'string' && d !== '', 'must be a private key (JWK)')
  .refine(
    ({ alg }) => alg === undefined || ['ES384', 'ES256', 'RS384', 'RS256'].includes(String(alg)),
    'alg must be ES384, ES256, RS384 or RS256',
  );
