import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, importJWK, type JWK, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import request from 'supertest';
import { registerClient } from '../../../hub/access/authentication/accounts.js';
import { sql } from '../../../hub/store/sql.js';
import { addClient, addOrganization, auditEntries, type HubUnderTest, newKeys, startHub } from './hub-under-test.js';

let hub: HubUnderTest;
let keys: { privateJwk: JWK; publicJwk: JWK };

beforeAll(async () => {
  hub = await startHub({ config: { trustedProxy: true } });
  await addOrganization(hub.db, 'a');
  await addOrganization(hub.db, 'suspended', false);
  keys = await addClient(hub, 'his-a', 'a');
});
afterAll(() => hub.close());

const now = () => Math.floor(Date.now() / 1000);

async function assertion(claims: Record<string, unknown> = {}, options: { key?: JWK; header?: Record<string, unknown> } = {}) {
  const key = options.key ?? keys.privateJwk;
  const defaults = { iss: 'his-a', sub: 'his-a', aud: `${hub.baseUrl}/token`, jti: randomUUID(), exp: now() + 120 };
  const payload = Object.fromEntries(Object.entries({ ...defaults, ...claims }).filter(([, v]) => v !== null)) as JWTPayload;
  const header = { alg: String(key.alg), typ: 'JWT', kid: String(key.kid), ...options.header };
  return new SignJWT(payload).setProtectedHeader(header).sign(await importJWK(key, String(key.alg)));
}

/** Each request comes from an address of its own, where the hub believes its proxy, so that failures don't add up. */
const form = (fields: Record<string, string | undefined>, target = hub) =>
  request(target.server.listener)
    .post('/token')
    .type('form')
    .set('x-forwarded-for', randomUUID())
    .send(Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)));

const CREDENTIALS = {
  grant_type: 'client_credentials',
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
};
const ask = (client_assertion: string, more: Record<string, string> = {}, target = hub) =>
  form({ ...CREDENTIALS, client_assertion, ...more }, target);

describe('a system with a signed assertion', () => {
  it.each(['RS384', 'ES384', 'ES256', 'RS256'])('gets a short-lived token with %s', async (alg) => {
    const id = `his-${alg}`;
    const { privateJwk } = await addClient(hub, id, 'a', alg);
    const reply = await ask(await assertion({ iss: id, sub: id }, { key: privateJwk }), { scope: 'system/ImagingStudy.rs' });
    expect(reply.status).toBe(200);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(reply.body).toMatchObject({ token_type: 'bearer', expires_in: 300, scope: 'system/ImagingStudy.rs' });
    const claims = decodeJwt(reply.body.access_token);
    expect(claims).toMatchObject({ iss: hub.baseUrl, aud: hub.baseUrl, sub: `Client/${id}`, client_id: id });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(300);
    await request(hub.server.listener).get('/whoami').set('authorization', `Bearer ${reply.body.access_token}`).expect(200);
  });

  it('may name the issuer as audience, and choose among its purposes', async () => {
    const reply = await ask(await assertion({ aud: hub.baseUrl }), { purpose_of_use: 'HOPERAT', role: 'hospital-system' });
    expect(decodeJwt(reply.body.access_token)['extensions']).toMatchObject({
      ihe_iua: {
        subject_organization_id: `${hub.baseUrl}/fhir/Organization/a`,
        subject_role: [{ code: 'hospital-system' }],
        purpose_of_use: [{ code: 'HOPERAT' }],
      },
    });
  });

  it('is recorded by name before the token leaves', async () => {
    await ask(await assertion()).expect(200);
    expect((await auditEntries(hub))[0]).toMatchObject({ type: 'authentication', outcome: 0, agent: 'Client/his-a' });
  });

  it('gets nothing when the audit can’t be written, and its assertion is not spent', async () => {
    const deaf = await startHub({
      audit: {
        append: async () => {
          throw new Error('the audit is full');
        },
      },
    });
    await addOrganization(deaf.db, 'a');
    const { privateJwk } = await addClient(deaf, 'his-a', 'a');
    const reply = await ask(await assertion({ aud: deaf.baseUrl }, { key: privateJwk }), {}, deaf);
    expect([reply.status, reply.body.access_token]).toEqual([500, undefined]);
    expect(await deaf.db.query(sql`select 1 from used_jti`)).toEqual([]);
    await deaf.close();
  });

  it('may publish its keys at an address, and change them there', async () => {
    let published = await newKeys('ES384', 'first');
    const server = createServer((_req, res) => res.end(JSON.stringify({ keys: [published.publicJwk] })));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    await registerClient(hub.db, {
      id: 'his-uri',
      organizationId: 'a',
      name: 'x',
      jwksUri,
      roles: ['hospital-system'],
      scope: 'system/*.rs',
    });
    const claims = { iss: 'his-uri', sub: 'his-uri' };
    await ask(await assertion(claims, { key: published.privateJwk })).expect(200);
    const replaced = published.privateJwk;
    published = await newKeys('ES384', 'second');
    await ask(await assertion(claims, { key: published.privateJwk })).expect(401); // within the cooldown of 30 s
    await ask(await assertion(claims, { key: replaced })).expect(200);
    await new Promise((resolve) => server.close(resolve));
  });

  it('can’t make the hub fetch from its own network by registering an address there', async () => {
    const closed = await startHub({ config: { outboundNetworks: [] } });
    let asked = 0;
    const server = createServer((_req, res) => {
      asked++;
      res.end('{"keys":[]}');
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    await addOrganization(closed.db, 'a');
    const { port } = server.address() as AddressInfo;
    for (const host of ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]']) {
      await registerClient(closed.db, {
        id: `c-${host.length}`,
        organizationId: 'a',
        name: 'x',
        jwksUri: `http://${host}:${port}/`,
        roles: ['hospital-system'],
        scope: 'system/*.rs',
      });
      const id = `c-${host.length}`;
      await ask(await assertion({ iss: id, sub: id, aud: closed.baseUrl }), {}, closed).expect(503);
    }
    expect(asked).toBe(0);
    await new Promise((resolve) => server.close(resolve));
    await closed.close();
  });
});

describe('an assertion is good once', () => {
  it('and not a second time', async () => {
    const once = await assertion();
    await ask(once).expect(200);
    const reply = await ask(once);
    expect([reply.status, reply.body]).toEqual([401, { error: 'invalid_client' }]);
    expect((await auditEntries(hub))[0]).toMatchObject({
      outcome: 4,
      detail: 'invalid_client: replayed',
      entity: ['Client/his-a'],
    });
  });

  it('though it is sent twenty times at once', async () => {
    const fresh = await startHub();
    await addOrganization(fresh.db, 'a');
    const { privateJwk } = await addClient(fresh, 'his-a', 'a');
    const once = await assertion({ aud: fresh.baseUrl }, { key: privateJwk });
    const replies = await Promise.all(
      Array.from({ length: 20 }, () =>
        fetch(`${fresh.baseUrl}/token`, {
          method: 'POST',
          body: new URLSearchParams({ ...CREDENTIALS, client_assertion: once }),
        }),
      ),
    );
    const statuses = replies.map((r) => r.status).sort();
    expect(statuses).toEqual([200, ...Array<number>(19).fill(401)]);
    await fresh.close();
  });

  it('and is forgotten once it could no longer verify', async () => {
    await hub.db.query(
      sql`insert into used_jti values ('his-a', 'old', now() - interval '1 minute'), ('his-b', 'other', now() - interval '1 minute')`,
    );
    await ask(await assertion()).expect(200);
    expect(await hub.db.query(sql`select jti from used_jti where jti in ('old', 'other')`)).toEqual([{ jti: 'other' }]);
  });
});

describe('a failed client authentication', () => {
  const cases: Record<string, () => Promise<Record<string, string>>> = {
    'no assertion': async () => ({ client_id: 'his-a' }),
    'another assertion type': async () => ({ client_assertion_type: 'x', client_assertion: await assertion() }),
    'not a JWT': async () => ({ client_assertion: 'abc' }),
    'alg none': async () => ({
      client_assertion: new UnsecuredJWT({ jti: '1' })
        .setIssuer('his-a')
        .setSubject('his-a')
        .setAudience(hub.baseUrl)
        .setExpirationTime('2m')
        .encode(),
    }),
    'HMAC with the registered key': async () => ({
      client_assertion: await new SignJWT({ jti: '1' })
        .setProtectedHeader({ alg: 'HS256', kid: 'key-1' })
        .setIssuer('his-a')
        .setSubject('his-a')
        .setAudience(hub.baseUrl)
        .setExpirationTime('2m')
        .sign(Buffer.from(JSON.stringify(keys.publicJwk))),
    }),
    'a key of its own': async () => ({ client_assertion: await assertion({}, { key: (await newKeys('ES384')).privateJwk }) }),
    'a key in the header': async () => {
      const mine = await newKeys('ES384', 'mine');
      return { client_assertion: await assertion({}, { key: mine.privateJwk, header: { jwk: mine.publicJwk } }) };
    },
    'an unknown kid': async () => ({ client_assertion: await assertion({}, { header: { kid: 'nobody' } }) }),
    'an unknown client': async () => ({ client_assertion: await assertion({ iss: 'nobody', sub: 'nobody' }) }),
    'a client id that is none': async () => ({ client_assertion: await assertion({ iss: "x' or '1\0", sub: "x' or '1\0" }) }),
    'another client id beside it': async () => ({ client_id: 'his-b', client_assertion: await assertion() }),
    'another subject': async () => ({ client_assertion: await assertion({ sub: 'his-b' }) }),
    'another audience': async () => ({ client_assertion: await assertion({ aud: 'https://elsewhere.example/token' }) }),
    'several audiences': async () => ({ client_assertion: await assertion({ aud: [hub.baseUrl, 'https://elsewhere.example'] }) }),
    'no expiry': async () => ({ client_assertion: await assertion({ exp: null }) }),
    'an expiry in the past': async () => ({ client_assertion: await assertion({ exp: now() - 60 }) }),
    'an expiry too far ahead': async () => ({ client_assertion: await assertion({ exp: now() + 600 }) }),
    'a time before it holds': async () => ({ client_assertion: await assertion({ nbf: now() + 100 }) }),
    'no jti': async () => ({ client_assertion: await assertion({ jti: null }) }),
    'a jti that is no text': async () => ({ client_assertion: await assertion({ jti: { a: 1 } }) }),
    'a jti without end': async () => ({ client_assertion: await assertion({ jti: 'x'.repeat(300) }) }),
    'an access token as assertion': async () => ({ client_assertion: await assertion({}, { header: { typ: 'at+jwt' } }) }),
  };

  it.each(Object.entries(cases))('(%s) gets 401 without a hint, and is recorded', async (_name, make) => {
    const before = (await auditEntries(hub)).length;
    const reply = await form({ ...CREDENTIALS, ...(await make()) });
    expect([reply.status, reply.text]).toEqual([401, '{"error":"invalid_client"}']);
    expect((await auditEntries(hub)).length).toBe(before + 1);
  });

  it('of a disabled client, or one of a suspended organization, gets no token', async () => {
    const left = await addClient(hub, 'his-off', 'a');
    await hub.db.query(sql`update client set enabled = false where id = 'his-off'`);
    await ask(await assertion({ iss: 'his-off', sub: 'his-off' }, { key: left.privateJwk })).expect(401);
    const suspended = await addClient(hub, 'his-s', 'suspended');
    const reply = await ask(await assertion({ iss: 'his-s', sub: 'his-s' }, { key: suspended.privateJwk }));
    expect([reply.status, reply.body.error]).toEqual([400, 'invalid_request']);
  });
});

describe('a request that goes too far', () => {
  it.each([
    [{ scope: 'system/*.cruds' }, 'invalid_scope'],
    [{ scope: 'user/ImagingStudy.rs' }, 'invalid_scope'],
    [{ scope: 'system/ImagingStudy.rs?x=y' }, 'invalid_scope'],
    [{ role: 'hub-administrator' }, 'invalid_request'],
    [{ purpose_of_use: 'BTG' }, 'invalid_request'],
    [{ purpose_of_use: 'PUBHLTH' }, 'invalid_request'],
  ])('%j is refused as %s, in the client’s name', async (more, error) => {
    const reply = await ask(await assertion(), more as Record<string, string>);
    expect([reply.status, reply.body.error]).toEqual([400, error]);
    expect((await auditEntries(hub))[0]).toMatchObject({ outcome: 4, agent: 'Client/his-a' });
  });

  it.each(['password', 'authorization_code', 'refresh_token', '__proto__', 'constructor'])(
    'grant type %s is not offered',
    async (grant_type) => {
      const reply = await form({ grant_type });
      expect([reply.status, reply.body.error]).toEqual([400, 'unsupported_grant_type']);
    },
  );
});

describe('a malformed request', () => {
  const raw = (body: string, type = 'application/x-www-form-urlencoded') =>
    request(hub.server.listener).post('/token').set('content-type', type).send(body);

  it.each([
    ['no body', ''],
    ['a parameter twice', 'grant_type=client_credentials&grant_type=client_credentials'],
    ['a parameter as a structure', 'grant_type[a]=client_credentials'],
    ['an oversized assertion', `grant_type=client_credentials&client_assertion=${'a'.repeat(9000)}`],
    ['an oversized body', `grant_type=${'a'.repeat(40_000)}`],
  ])('(%s) is an OAuth error', async (_name, body) => {
    const reply = await raw(body);
    expect([reply.status, reply.body.error]).toEqual([400, 'invalid_request']);
  });

  it('in JSON is an OAuth error', async () => {
    const reply = await raw('{"grant_type":"client_credentials"}', 'application/json');
    expect([reply.status, reply.body.error]).toEqual([400, 'invalid_request']);
  });
});

describe('guessing', () => {
  it('is slowed down for the client at that address, not for its neighbour', async () => {
    const quiet = await startHub();
    await addOrganization(quiet.db, 'a');
    await addClient(quiet, 'his-a', 'a');
    const b = await addClient(quiet, 'his-b', 'a');
    const wrong = await newKeys('ES384');
    const statuses: number[] = [];
    for (let i = 0; i < 22; i++)
      statuses.push((await ask(await assertion({ aud: quiet.baseUrl }, { key: wrong.privateJwk }), {}, quiet)).status);
    expect(statuses).toEqual([...Array<number>(20).fill(401), 429, 429]);
    expect((await auditEntries(quiet)).length).toBe(20);
    await ask(await assertion({ iss: 'his-b', sub: 'his-b', aud: quiet.baseUrl }, { key: b.privateJwk }), {}, quiet).expect(200);
    await quiet.close();
  });
});
