import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import request from 'supertest';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { CLI_CLIENT, demoIssuer, registerDemoIdentityProvider } from '../../../hub/demo/identity-provider.js';
import { providerToken, signIn, systemToken } from '../../../hub/demo/sign-in.js';
import { storedForms } from '../../../hub/store/patient-identifier.js';
import { keyed, sql } from '../../../hub/store/sql.js';
import { addClient, addOrganization, auditEntries, type HubUnderTest, startHub } from './hub-under-test.js';

const NATIONAL = '11010519491231002X';
let hub: HubUnderTest;

beforeAll(async () => {
  hub = await startHub({
    people: [
      { username: 'li.wei', name: '李伟' },
      { username: 'wang', name: '王小东', nationalIdentifier: NATIONAL },
      { username: 'liu', name: '<刘>', nationalIdentifier: '440524188001010014' },
      { username: 'stranger', name: 'Stranger' },
    ],
  });
  await addOrganization(hub.db, 'a');
  const issuer = demoIssuer(hub.config);
  await bindAccount(hub.db, {
    issuer,
    subject: 'li.wei',
    name: '李伟',
    organizationId: 'a',
    practitionerId: 'li.wei',
    roles: ['physician'],
  });
});
afterAll(() => hub.close());

const whoami = async (token: string) =>
  (await request(hub.server.listener).get('/whoami').set('authorization', `Bearer ${token}`)).body;
const register = (patientId: string, value: string, custodian: string) =>
  hub.db.query(
    sql`insert into patient_identifier values ('urn:national', ${keyed((p) => storedForms(p, { value })[0])}, ${custodian}, ${patientId}, 'national')`,
  );

describe('a person of the demonstration', () => {
  it('signs in by authorization code with PKCE and acts in the capacity that she chooses', async () => {
    const token = await signIn({
      baseUrl: hub.baseUrl,
      username: 'li.wei',
      password: 'demo',
      role: 'physician',
      purpose: 'ETREAT',
    });
    const caller = await whoami(token);
    expect(caller).toMatchObject({
      id: 'Practitioner/li.wei',
      name: '李伟',
      organizationId: 'a',
      purposeOfUse: 'ETREAT',
      clientId: CLI_CLIENT,
    });
    expect(Date.now() / 1000 - caller.authenticatedAt).toBeLessThan(60);
  });

  it('may use the provider’s own token, which is a JWT for the hub alone', async () => {
    const token = await providerToken(hub.baseUrl, 'li.wei', 'demo');
    expect(decodeJwt(token)).toMatchObject({ iss: demoIssuer(hub.config), aud: hub.baseUrl, sub: 'li.wei' });
    expect(await whoami(token)).toMatchObject({ id: 'Practitioner/li.wei', purposeOfUse: 'TREAT' });
  });

  it.each([
    ['li.wei', 'wrong'],
    ['li.wei', ''],
    ['nobody', 'demo'],
  ])('%s with password %j does not sign in', async (username, password) => {
    await expect(signIn({ baseUrl: hub.baseUrl, username, password })).rejects.toThrow('HTTP 401');
  });

  it('without an account gets no token of the hub', async () => {
    await expect(signIn({ baseUrl: hub.baseUrl, username: 'stranger', password: 'demo' })).rejects.toThrow('invalid_request');
  });
});

describe('a patient who signs in for the first time', () => {
  it('is bound to her Patient by her checked identifier, once, and this is recorded', async () => {
    await register('p-wang', NATIONAL, 'a');
    const token = await signIn({ baseUrl: hub.baseUrl, username: 'wang', password: 'demo' });
    expect(await whoami(token)).toMatchObject({
      id: 'Patient/p-wang',
      role: 'patient',
      patientId: 'p-wang',
      purposeOfUse: 'PATRQT',
      organizationId: '',
    });
    await signIn({ baseUrl: hub.baseUrl, username: 'wang', password: 'demo' });
    const bound = (await auditEntries(hub)).filter((e) => e.type === 'identity');
    expect(bound).toHaveLength(1);
  });

  it('is bound where several hospitals know her only once they are linked as one person', async () => {
    await register('p-liu-1', '440524188001010014', 'a');
    await register('p-liu-2', '440524188001010014', 'b');
    const attempt = () => signIn({ baseUrl: hub.baseUrl, username: 'liu', password: 'demo' });
    await expect(attempt()).rejects.toThrow('invalid_request');
    await hub.db.query(sql`insert into cross_reference values ('p-liu-1', 'c1'), ('p-liu-2', 'c1')`);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect((await whoami(await attempt())).id).toBe('Patient/p-liu-1');
  });
});

it('a system gets its token with its private key', async () => {
  const { privateJwk } = await addClient(hub, 'his-a', 'a');
  const token = await systemToken({
    baseUrl: hub.baseUrl,
    clientId: 'his-a',
    privateJwk,
    scope: 'system/Patient.rs',
    purpose: 'HOPERAT',
  });
  expect(await whoami(token)).toMatchObject({ id: 'Client/his-a', scope: 'system/Patient.rs', purposeOfUse: 'HOPERAT' });
});

describe('the provider', () => {
  const authorize = (more: Record<string, string | undefined> = {}) => {
    const parameters = {
      response_type: 'code',
      client_id: CLI_CLIENT,
      redirect_uri: 'http://127.0.0.1:34567/callback',
      scope: 'openid',
      code_challenge: createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    };
    const given = Object.entries(parameters).filter((e): e is [string, string] => e[1] !== undefined);
    return fetch(`${hub.baseUrl}/demo-idp/auth?${new URLSearchParams(given)}`, { redirect: 'manual' });
  };

  it('describes itself truly', async () => {
    const { body } = await request(hub.server.listener).get('/demo-idp/.well-known/openid-configuration');
    expect(body).toMatchObject({ issuer: demoIssuer(hub.config), code_challenge_methods_supported: ['S256'] });
    const keys = await (await fetch(body.jwks_uri)).json();
    expect(JSON.stringify(keys)).not.toContain('"d"');
  });

  it('shows a sign-in page in Chinese and English, without letting names become markup', async () => {
    const start = await authorize();
    const cookie = start.headers
      .getSetCookie()
      .map((c) => c.split(';')[0])
      .join('; ');
    const page = await fetch(new URL(start.headers.get('location') ?? '', hub.baseUrl), { headers: { cookie } });
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(html).toContain('登录 · Sign in');
    expect(html).toContain('李伟');
    expect(html).not.toContain('<刘>');
  });

  it('shows no form to one who has not started', async () => {
    const reply = await fetch(`${hub.baseUrl}/demo-idp/interaction/abc`, {
      method: 'POST',
      body: new URLSearchParams({ username: 'li.wei', password: 'demo' }),
    });
    expect(reply.status).toBe(400);
    expect(await reply.text()).not.toContain('<form');
  });

  it.each([
    ['without PKCE', { code_challenge: undefined, code_challenge_method: undefined }],
    ['to another address', { redirect_uri: 'https://elsewhere.example/callback' }],
    ['for an unknown client', { client_id: 'nobody' }],
    ['for another resource in the implicit way', { response_type: 'token' }],
  ])('refuses to start %s', async (_name, more) => {
    const reply = await authorize(more);
    const location = reply.headers.get('location') ?? '';
    expect(reply.status === 400 || location.includes('error=')).toBe(true);
    expect(location).not.toContain('/interaction/');
  });

  it('is not served in production', async () => {
    const config = { ...hub.config, production: true };
    await expect(registerDemoIdentityProvider(hub.server, { config, people: [], password: 'demo' })).rejects.toThrow(
      'production',
    );
  });
});
