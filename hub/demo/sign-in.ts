import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import { CLI_CLIENT, CLI_REDIRECT, DEMO_IDP_PATH } from './identity-provider.js';

export interface SignIn {
  baseUrl: string;
  username: string;
  password: string;
  role?: string;
  purpose?: string;
  scope?: string;
}

/**
 * Signs a person of the demonstration in as a browser would (authorization code with PKCE, RFC 7636) and exchanges the provider's token for
 * one of the hub's in one capacity (RFC 8693). @returns the hub's access token. @throws Error with the status where it is refused
 */
export async function signIn({ baseUrl, username, password, role, purpose, scope }: SignIn): Promise<string> {
  const subjectToken = await providerToken(baseUrl, username, password);
  return hubToken(baseUrl, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subjectToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    role,
    purpose_of_use: purpose,
    scope,
  });
}

export interface SystemToken {
  baseUrl: string;
  clientId: string;
  /** The client's private key, EC or RSA, with `kid` where the registration has several. */
  privateJwk: JWK;
  scope?: string;
  role?: string;
  purpose?: string;
}

/** A token for a registered system (SMART Backend Services, `private_key_jwt`). @throws Error with the status where it is refused */
export async function systemToken({ baseUrl, clientId, privateJwk, scope, role, purpose }: SystemToken): Promise<string> {
  const { issuer } = (await json(await fetch(`${baseUrl}/.well-known/oauth-authorization-server`))) as { issuer: string };
  return hubToken(baseUrl, {
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await signAssertion(clientId, privateJwk, issuer),
    scope,
    role,
    purpose_of_use: purpose,
  });
}

async function signAssertion(clientId: string, privateJwk: JWK, audience: string): Promise<string> {
  const alg = privateJwk.alg ?? (privateJwk.kty === 'RSA' ? 'RS384' : privateJwk.crv === 'P-384' ? 'ES384' : 'ES256');
  return new SignJWT({})
    .setProtectedHeader({ alg, typ: 'JWT', ...(privateJwk.kid ? { kid: privateJwk.kid } : {}) })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(randomUUID())
    .setExpirationTime('2m')
    .sign(await importJWK(privateJwk, alg));
}

/** The provider's access token for a person, got in the steps of a browser. */
export async function providerToken(baseUrl: string, username: string, password: string): Promise<string> {
  const idp = `${baseUrl}${DEMO_IDP_PATH}`;
  const verifier = randomBytes(32).toString('base64url');
  const browser = new Browser();
  const loginPage = await browser.follow(`${idp}/auth?${authorizationRequest(verifier)}`);
  const answer = await browser.post(loginPage, { username, password });
  if (answer.status !== 303) throw new Error(`sign-in of ${username} refused: HTTP ${answer.status}`);
  const callback = await browser.follow(new URL(answer.headers.get('location') ?? '', loginPage).href);
  const code = new URL(callback).searchParams.get('code');
  if (!code) throw new Error(`sign-in of ${username} refused: no code`);
  const reply = await post(`${idp}/token`, {
    grant_type: 'authorization_code',
    client_id: CLI_CLIENT,
    redirect_uri: CLI_REDIRECT,
    code,
    code_verifier: verifier,
  });
  return ((await json(reply)) as { access_token: string }).access_token;
}

function authorizationRequest(verifier: string): URLSearchParams {
  return new URLSearchParams({
    response_type: 'code',
    client_id: CLI_CLIENT,
    redirect_uri: CLI_REDIRECT,
    scope: 'openid',
    state: randomUUID(),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
}

/** As much of a browser as signing in needs: it keeps cookies, and follows redirects until a page or the client's own address. */
class Browser {
  readonly #cookies = new Map<string, string>();

  async follow(url: string, left = 10): Promise<string> {
    if (url.startsWith(CLI_REDIRECT)) return url;
    const reply = await this.#request(url, {});
    const location = reply.headers.get('location');
    if (reply.status === 200) return url;
    if (!location || left === 0) throw new Error(`sign-in refused: HTTP ${reply.status}`);
    return this.follow(new URL(location, url).href, left - 1);
  }

  post(url: string, form: Record<string, string>): Promise<Response> {
    return this.#request(url, { method: 'POST', body: new URLSearchParams(form) });
  }

  async #request(url: string, init: RequestInit): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const reply = await fetch(url, { ...init, redirect: 'manual', headers: { cookie } });
    for (const line of reply.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split(/=(.*)/);
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    await reply.arrayBuffer();
    return reply;
  }
}

async function hubToken(baseUrl: string, form: Record<string, string | undefined>): Promise<string> {
  const reply = await json(await post(`${baseUrl}/token`, form));
  return (reply as { access_token: string }).access_token;
}

function post(url: string, form: Record<string, string | undefined>): Promise<Response> {
  const given = Object.entries(form).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return fetch(url, { method: 'POST', body: new URLSearchParams(given) });
}

async function json(reply: Response): Promise<unknown> {
  if (!reply.ok) throw new Error(`token refused: HTTP ${reply.status} ${(await reply.text()).slice(0, 300)}`);
  return reply.json();
}
