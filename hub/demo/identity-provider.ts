/** The demonstration's OpenID Provider: invented people, one well-known password. A production start refuses it. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from '@hapi/hapi';
import { exportJWK, generateKeyPair } from 'jose';
import type { OidcContext, Provider } from 'oidc-provider';
import type { Config } from '../config.js';
import { loginPage } from './login-page.js';

export interface DemoLogin {
  /** Signs in with it; also the subject of her tokens. */
  username: string;
  name: string;
  /** A patient's national identifier, which the demonstration's provider counts as checked. */
  nationalIdentifier?: string;
}

export interface DemoIdentityProviderSettings {
  issuer: string;
  /** Resource that the access tokens are for: the hub's publicUrl. */
  audience: string;
  people: readonly DemoLogin[];
  password: string;
  /** Behind a proxy that is trusted to say how it was reached. */
  trustedProxy?: boolean;
}

export interface DemoIdentityProvider {
  issuer: string;
  /** Answers a request whose `url` is relative to the issuer. */
  callback(req: IncomingMessage, res: ServerResponse): Promise<void>;
}

/** Path of the provider below the hub's publicUrl. */
export const DEMO_IDP_PATH = '/demo-idp';
/** Public client of the web console, and of the command line (RFC 8252 loopback redirect, any port). */
export const CONSOLE_CLIENT = 'hub-console';
export const CLI_CLIENT = 'hub-cli';
export const CLI_REDIRECT = 'http://127.0.0.1/callback';

const SCOPES = 'user/*.cruds user/*.rs patient/*.cruds patient/*.rs';
/** Seconds that one signing-in lasts. */
const SESSION = 8 * 3600;
const ACCESS_TOKEN = 3600;
const MAX_FORM = 8192;

export const demoIssuer = (config: Pick<Config, 'publicUrl'>): string => `${config.publicUrl}${DEMO_IDP_PATH}`;

/** Serves the provider below /demo-idp. @throws Error in production */
export async function registerDemoIdentityProvider(
  server: Server,
  deps: { config: Config; people: readonly DemoLogin[]; password: string },
): Promise<DemoIdentityProvider> {
  const { config, people, password } = deps;
  if (config.production) throw new Error('the demonstration’s identity provider does not run in production');
  const { publicUrl: audience, trustedProxy } = config;
  const provider = await createDemoIdentityProvider({ issuer: demoIssuer(config), audience, people, password, trustedProxy });
  server.route({
    method: '*',
    path: `${DEMO_IDP_PATH}/{any*}`,
    options: { auth: false, payload: { output: 'stream', parse: false } },
    handler: async ({ raw: { req, res } }, h) => {
      // As mounting does in Express: the provider finds its own prefix by comparing the two.
      Object.assign(req, { originalUrl: req.url });
      req.url = req.url?.slice(DEMO_IDP_PATH.length);
      await provider.callback(req, res);
      return h.abandon;
    },
  });
  return provider;
}

/** Authorization code with PKCE, signed JWT access tokens (RFC 9068) for the hub (RFC 8707); all state is in memory, keys are new at each start. */
export async function createDemoIdentityProvider(settings: DemoIdentityProviderSettings): Promise<DemoIdentityProvider> {
  const settled = await configuration(settings);
  const provider = await withoutWarnings(async () => {
    const { interactionPolicy, Provider } = await import('oidc-provider');
    const policy = interactionPolicy.base();
    policy.remove('consent'); // both clients are the hub's own
    return new Provider(settings.issuer, { ...settled, interactions: interactions(policy) });
  });
  provider.proxy = settings.trustedProxy ?? false;
  const answer = provider.callback();
  return {
    issuer: settings.issuer,
    callback: (req, res) => (req.url?.startsWith('/interaction/') ? signInPage(provider, settings, req, res) : answer(req, res)),
  };
}

/** The library warns on the console of what is meant here: state in memory, and Node 20, on which the tests run it. */
async function withoutWarnings<T>(work: () => Promise<T>): Promise<T> {
  const { warn } = console;
  console.warn = () => undefined;
  try {
    return await work();
  } finally {
    console.warn = warn;
  }
}

function interactions(policy: object) {
  return { policy, url: (_ctx: unknown, { uid }: { uid: string }) => `${DEMO_IDP_PATH}/interaction/${uid}` };
}

async function configuration(settings: DemoIdentityProviderSettings): Promise<object> {
  const { audience, people } = settings;
  const person = (id: string) => people.find((p) => p.username === id);
  const resourceServer = {
    scope: SCOPES,
    audience,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ACCESS_TOKEN,
    jwt: { sign: { alg: 'ES256' } },
  };
  return {
    clients: clients(audience),
    clientDefaults: { token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256', response_types: ['code'] },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    jwks: { keys: [await newKey()] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    claims: { openid: ['sub'], profile: ['name'] },
    responseTypes: ['code'],
    pkce: { required: () => true },
    ttl: {
      AccessToken: ACCESS_TOKEN,
      AuthorizationCode: 60,
      IdToken: ACCESS_TOKEN,
      Interaction: 600,
      Session: SESSION,
      Grant: SESSION,
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resourceServer,
      },
    },
    findAccount: (_ctx: unknown, id: string) =>
      person(id) && { accountId: id, claims: () => ({ sub: id, name: person(id)?.name }) },
    extraTokenClaims: (ctx: OidcContext, token: { accountId: string }) => tokenClaims(ctx, person(token.accountId)),
    loadExistingGrant: (ctx: OidcContext) => grantEverything(ctx, audience),
  };
}

function clients(publicUrl: string): object[] {
  return [
    { client_id: CONSOLE_CLIENT, redirect_uris: [`${publicUrl}/`, `${publicUrl}/console/`, `${publicUrl}/console/callback`] },
    { client_id: CLI_CLIENT, application_type: 'native', redirect_uris: [CLI_REDIRECT] },
  ];
}

async function newKey(): Promise<object> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), use: 'sig', alg: 'ES256', kid: randomBytes(8).toString('hex') };
}

function tokenClaims(ctx: OidcContext, person: DemoLogin | undefined): object {
  const identifier = person?.nationalIdentifier;
  return {
    name: person?.name,
    auth_time: ctx.oidc.entities.AuthorizationCode?.authTime,
    ...(identifier ? { national_identifier: identifier, national_identifier_verified: true } : {}),
  };
}

async function grantEverything(ctx: OidcContext, audience: string) {
  const { client, session, provider } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid profile');
  grant.addResourceScope(audience, SCOPES);
  await grant.save();
  return grant;
}

async function signInPage(
  provider: Provider,
  settings: DemoIdentityProviderSettings,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  try {
    await provider.interactionDetails(req, res);
  } catch {
    return show(res, 400, loginPage(settings.people, { expired: true }));
  }
  if (req.method !== 'POST') return show(res, 200, loginPage(settings.people));
  const form = await readForm(req);
  const accountId = checked(settings, form.get('username') ?? '', form.get('password') ?? '');
  if (!accountId) return show(res, 401, loginPage(settings.people, { wrong: true }));
  return provider.interactionFinished(req, res, { login: { accountId } }, { mergeWithLastSubmission: false });
}

/** The same work for every name and every password. */
function checked({ people, password }: DemoIdentityProviderSettings, username: string, given: string): string | undefined {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const right = timingSafeEqual(digest(given), digest(password));
  return right && people.some((p) => p.username === username) ? username : undefined;
}

async function readForm(req: IncomingMessage): Promise<URLSearchParams> {
  let text = '';
  for await (const chunk of req) {
    text += String(chunk);
    if (text.length > MAX_FORM) return new URLSearchParams();
  }
  return new URLSearchParams(text);
}

function show(res: ServerResponse, status: number, page: string): void {
  res.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  res.end(page);
}
