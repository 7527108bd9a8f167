import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { unavailable } from '../../outcomes.js';
import type { BoundedFetch } from './bounded-fetch.js';
import { cachedFor } from './bounded-cache.js';

/** Milliseconds after a fetch of keys in which an unknown `kid` does not cause another: strangers can't drive requests through the hub. */
export const KEY_SET_COOLDOWN = 30_000;
const DISCOVERY_LIFETIME = 3_600_000;
const MAX_KEYS = 50;

const discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });

/**
 * The keys that an address publishes, kept for ten minutes; a new `kid` is looked for once the cooldown is over.
 * @throws {Refusal} 503 when the address does not answer: that is an outage, not a wrong token.
 */
export function remoteKeys(url: string, fetch: BoundedFetch, cooldown = KEY_SET_COOLDOWN): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(new URL(url), {
    cooldownDuration: cooldown,
    [customFetch]: async (address) => limited(await fetch(address)),
  });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      throw isAboutTheToken(error) ? error : unavailable();
    }
  };
}

/** The keys of an OpenID Connect issuer, found by OpenID Connect Discovery 1.0; nothing is fetched before the first token comes. */
export function issuerKeys(issuer: string, fetch: BoundedFetch, cooldown = KEY_SET_COOLDOWN): JWTVerifyGetKey {
  const discovered = cachedFor(DISCOVERY_LIFETIME, 1, async (address) => {
    const document = discovery.parse(await (await fetch(address)).json());
    if (document.issuer !== issuer) throw new Error('the discovery document is of another issuer');
    return remoteKeys(document.jwks_uri, fetch, cooldown);
  });
  return async (header, token) => {
    const keys = await discovered(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`).catch(() => {
      throw unavailable();
    });
    return keys(header, token);
  };
}

function isAboutTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  );
}

async function limited(response: Response): Promise<Response> {
  const { keys } = z.object({ keys: z.array(z.looseObject({})).max(MAX_KEYS) }).parse(await response.clone().json());
  return Response.json({ keys }, { status: response.status });
}
