import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { base64url, importJWK, type JWK, SignJWT, UnsecuredJWT } from 'jose';
import request from 'supertest';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { loadSigningKey } from '../../../hub/access/authentication/signing-key.js';
import { STANDING_LIFETIME } from '../../../hub/access/authentication/standing.js';
import { systemToken } from '../../../hub/demo/sign-in.js';
import { sql } from '../../../hub/store/sql.js';
import {
  addClient,
  addOrganization,
  addPhysician,
  auditEntries,
  type HubUnderTest,
  newKeys,
  startHub,
} from './hub-under-test.js';
import { startTestIssuer, type TestIssuer } from './test-issuer.js';

let issuer: TestIssuer;
let hub: HubUnderTest;
let client: { privateJwk: JWK };

beforeAll(async () => {
  issuer = await startTestIssuer(() => hub.baseUrl);
  hub = await startHub({ oidcIssuer: issuer.issuer });
  await addOrganization(hub.db, 'a');
  await addOrganization(hub.db, 'suspended', false);
  await addPhysician(hub, issuer.issuer, 'li', 'a');
  await addPhysician(hub, issuer.issuer, 'of-suspended', 'suspended');
  client = await addClient(hub, 'his-a', 'a');
});
afterAll(async () => {
  await hub.close();
  await issuer.close();
});

const whoami = (token?: string) => {
  const asked = request(hub.server.listener).get('/whoami');
  return token === undefined ? asked : asked.set('authorization', `Bearer ${token}`);
};
const ownToken = () => systemToken({ baseUrl: hub.baseUrl, clientId: 'his-a', privateJwk: client.privateJwk });
const now = () => Math.floor(Date.now() / 1000);

describe('a sound access token', () => {
  it('of the issuer makes its bearer a caller in his own organization', async () => {
    const reply = await whoami(await issuer.token({ auth_time: 1_700_000_000 }));
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      id: 'Practitioner/li',
      accountId: expect.stringMatching(/^Account\//),
      kind: 'person',
      name: 'li',
      organizationId: 'a',
      role: 'physician',
      purposeOfUse: 'TREAT',
      practitionerId: 'li',
      clientId: 'app',
      scope: 'user/*.cruds',
      authenticatedAt: 1_700_000_000,
    });
  });

  it('of the hub makes a system a caller', async () => {
    const reply = await whoami(await ownToken());
    expect(reply.body).toMatchObject({ id: 'Client/his-a', kind: 'system', organizationId: 'a', role: 'hospital-system' });
    expect(reply.body.scope).toBe('system/ImagingStudy.cruds system/Patient.rs');
  });

  it('without a time of signing in never counts as freshly authenticated', async () => {
    expect((await whoami(await issuer.token())).body.authenticatedAt).toBe(0);
  });

  it('carries purpose and role as IUA claims', async () => {
    const ihe_iua = {
      subject_organization_id: `${hub.baseUrl}/fhir/Organization/a`,
      subject_role: [{ system: 'x', code: 'physician' }],
      purpose_of_use: [{ system: 'y', code: 'ETREAT' }],
    };
    expect((await whoami(await issuer.token({ extensions: { ihe_iua } }))).body.purposeOfUse).toBe('ETREAT');
  });

  it('is narrowed by the resource scopes that it names, and by nothing when it names none', async () => {
    const scope = 'openid user/ImagingStudy.rs system/*.cruds user/*.read?x=y';
    expect((await whoami(await issuer.token({ scope }))).body.scope).toBe('user/ImagingStudy.rs');
    expect((await whoami(await issuer.token({ scope: 'system/*.cruds' }))).body.scope).toBe('');
  });

  it('is accepted after the issuer has changed its key', async () => {
    await issuer.rotate();
    expect((await whoami(await issuer.token())).status).toBe(200);
  });

  it('within the clock leeway is forgiven its expiry', async () => {
    expect((await whoami(await issuer.token({ exp: now() - 10 }))).status).toBe(200);
  });

  it('is verified once: an outage of the issuer does not end its use', async () => {
    const token = await issuer.token();
    await whoami(token).expect(200);
    const before = issuer.requests();
    issuer.behave('fail');
    await whoami(token).expect(200);
    issuer.behave('well');
    expect(issuer.requests()).toBe(before);
  });
});

describe('a token that does not hold', () => {
  const forged = async (claims: Record<string, unknown>, key: Uint8Array, header: Record<string, string>) =>
    new SignJWT({ iss: issuer.issuer, sub: 'li', aud: hub.baseUrl, exp: now() + 300, ...claims })
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...header })
      .sign(key);
  const changed = (token: string) => {
    const [header, , signature] = token.split('.');
    const payload = base64url.encode(
      JSON.stringify({ iss: issuer.issuer, sub: 'li', aud: hub.baseUrl, exp: now() + 9999, scope: '' }),
    );
    return `${header}.${payload}.${signature}`;
  };
  const cases: Record<string, () => Promise<string | undefined> | string | undefined> = {
    'is missing': () => undefined,
    'is empty': () => '',
    'is no JWT': () => 'abc',
    'is a JWT in form only': () => 'a.b.c',
    'has a header that is no JSON': () => `${base64url.encode('{')}.${base64url.encode('{}')}.`,
    'is oversized': async () => issuer.token({ padding: 'x'.repeat(8000) }),
    'has alg none': () =>
      new UnsecuredJWT({ client_id: 'app' })
        .setIssuer(issuer.issuer)
        .setSubject('li')
        .setAudience(hub.baseUrl)
        .setExpirationTime('5m')
        .encode(),
    'is signed by HMAC with the published key in PEM': async () => {
      const pem = createPublicKey({ key: issuer.publicJwk() as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
      return forged({}, Buffer.from(pem), { kid: String(issuer.publicJwk().kid) });
    },
    'is signed by HMAC with the published key in JSON': () =>
      forged({}, Buffer.from(JSON.stringify(issuer.publicJwk())), { kid: String(issuer.publicJwk().kid) }),
    'is signed by HMAC as the hub itself, with its own published key': async () => {
      const { keys } = (await request(hub.server.listener).get('/jwks')).body;
      return forged({ iss: hub.baseUrl, iat: now(), jti: '1', client_id: 'his-a' }, Buffer.from(JSON.stringify(keys[0])), {
        kid: keys[0].kid,
      });
    },
    'is for another audience': () => issuer.token({ aud: 'https://elsewhere.example' }),
    'has no audience': () => issuer.token({ aud: null }),
    'is of another issuer': () => issuer.token({ iss: 'https://elsewhere.example' }),
    'claims to be of the hub': () => issuer.token({ iss: hub.baseUrl, jti: '1', client_id: 'his-a', sub: 'Client/his-a' }),
    'has no issuer': () => issuer.token({ iss: null }),
    'has expired': () => issuer.token({ exp: now() - 60 }),
    'never expires': () => issuer.token({ exp: null }),
    'is not valid yet': () => issuer.token({ nbf: now() + 120 }),
    'has no subject': () => issuer.token({ sub: null }),
    'names an unknown key': () => issuer.token({}, { kid: 'nobody' }),
    'has been changed': async () => changed(await issuer.token()),
    'has lost its signature': async () => `${(await issuer.token()).split('.').slice(0, 2).join('.')}.`,
    'names a critical extension': () => issuer.token({}, { crit: ['b64'], b64: false } as never).catch(() => 'a.b.c'),
    'is an ID token by its claims': () => issuer.token({ nonce: 'n' }, { typ: 'JWT' }),
    'is an ID token without a scope': () => issuer.token({ scope: null }, { typ: undefined as never }),
    'is a logout token': () => issuer.token({}, { typ: 'logout+jwt' }),
    'states two purposes': () =>
      issuer.token({ extensions: { ihe_iua: { purpose_of_use: [{ code: 'TREAT' }, { code: 'HRESCH' }] } } }),
  };

  it.each(Object.entries(cases))('when it %s is answered 401, always the same', async (_name, make) => {
    const reference = await request(hub.server.listener).get('/whoami');
    const reply = await whoami(await make());
    expect(reply.status).toBe(401);
    expect(reply.text).toBe(reference.text);
    expect(reply.text).not.toMatch(/expired|audience|issuer|signature|kid/i);
  });

  it('is not taken from the address or a cookie', async () => {
    const token = await issuer.token();
    const reply = await request(hub.server.listener).get(`/whoami?access_token=${token}`).set('cookie', `access_token=${token}`);
    expect(reply.status).toBe(401);
  });

  it.each<[string, Record<string, unknown>, Record<string, string>, boolean]>([
    ['another key signed it', {}, {}, false],
    ['its type is not that of an access token', {}, { typ: 'JWT' }, true],
    ['it has no type', {}, { typ: '' }, true],
    ['it is for another audience', { aud: 'https://elsewhere.example' }, {}, true],
    ['it has expired', { exp: now() - 60 }, {}, true],
    ['it names no client', { client_id: undefined }, {}, true],
  ])('of the hub is refused when %s', async (_name, claims, header, signedByHub) => {
    const { kid, privateKey } = await loadSigningKey(hub.db, hub.config.secret);
    const sound = {
      iss: hub.baseUrl,
      aud: hub.baseUrl,
      sub: 'Client/his-a',
      client_id: 'his-a',
      jti: '1',
      iat: now(),
      exp: now() + 60,
    };
    const stranger = await importJWK((await newKeys('ES256')).privateJwk, 'ES256');
    const sign = (payload: object, more: object) =>
      new SignJWT({ ...payload })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...more })
        .sign(signedByHub ? privateKey : stranger);
    expect((await whoami(await sign({ ...sound, ...claims }, header))).status).toBe(401);
    expect((await whoami(await sign(sound, {}))).status).toBe(signedByHub ? 200 : 401);
  });

  it('is not what an issuer’s outage is answered with: that is 503', async () => {
    issuer.behave('fail');
    const reply = await whoami(await issuer.token({}, { kid: 'new' }));
    issuer.behave('well');
    expect(reply.status).toBe(503);
  });
});

describe('a bearer without standing', () => {
  const iua = (claims: Record<string, unknown>) => issuer.token({ extensions: { ihe_iua: claims } });
  const cases: Record<string, () => Promise<string>> = {
    'no account': () => issuer.token({ sub: 'stranger' }),
    'a suspended organization': () => issuer.token({ sub: 'of-suspended' }),
    'a role that is not his': () => iua({ subject_role: 'auditor' }),
    'an organization that is not his': () => iua({ subject_organization_id: 'b' }),
    'a purpose that is not his role’s': () => iua({ purpose_of_use: 'PUBHLTH' }),
    'break-glass as purpose': () => iua({ purpose_of_use: 'BTG' }),
    'a national identifier that the issuer has not checked': () =>
      issuer.token({ sub: 'p', national_identifier: '11010519491231002X' }),
    'an account of that name at another issuer': () => issuer.token({ sub: 'elsewhere' }),
  };

  it.each(Object.entries(cases))('(%s) is answered 403, always the same, and recorded', async (_name, make) => {
    await bindAccount(hub.db, {
      issuer: 'https://other.example',
      subject: 'elsewhere',
      name: 'x',
      organizationId: 'a',
      practitionerId: 'x',
      roles: ['physician'],
    });
    const reference = await whoami(await issuer.token({ sub: 'nobody-at-all' }));
    const before = (await auditEntries(hub)).length;
    const reply = await whoami(await make());
    expect([reply.status, reply.text]).toEqual([403, reference.text]);
    const entries = await auditEntries(hub);
    expect(entries.length).toBe(before + 1);
    expect(entries[0]).toMatchObject({ type: 'authentication', outcome: 4 });
  });

  it('loses it within two seconds of being disabled, though the token is still good', async () => {
    await addPhysician(hub, issuer.issuer, 'leaver', 'a');
    const token = await issuer.token({ sub: 'leaver' });
    await whoami(token).expect(200);
    await hub.db.query(sql`update account set enabled = false where subject = 'leaver'`);
    await new Promise((resolve) => setTimeout(resolve, STANDING_LIFETIME + 50));
    await whoami(token).expect(403);
  });

  it('as a system loses it with its registration', async () => {
    const { privateJwk } = await addClient(hub, 'his-left', 'a');
    const token = await systemToken({ baseUrl: hub.baseUrl, clientId: 'his-left', privateJwk });
    await whoami(token).expect(200);
    await hub.db.query(sql`delete from client where id = 'his-left'`);
    await new Promise((resolve) => setTimeout(resolve, STANDING_LIFETIME + 50));
    await whoami(token).expect(403);
  });
});
