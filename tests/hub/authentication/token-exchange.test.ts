import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import request from 'supertest';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { addOrganization, addPhysician, auditEntries, type HubUnderTest, startHub } from './hub-under-test.js';
import { startTestIssuer, type TestIssuer } from './test-issuer.js';

let issuer: TestIssuer;
let hub: HubUnderTest;

beforeAll(async () => {
  issuer = await startTestIssuer(() => hub.baseUrl);
  hub = await startHub({ oidcIssuer: issuer.issuer, config: { trustedProxy: true } });
  await addOrganization(hub.db, 'a');
  await addPhysician(hub, issuer.issuer, 'li', 'a');
  await bindAccount(hub.db, {
    issuer: issuer.issuer,
    subject: 'both',
    name: 'Both',
    organizationId: 'a',
    practitionerId: 'both',
    patientId: 'p-both',
    roles: ['physician', 'identity-steward', 'patient'],
  });
});
afterAll(async () => {
  await hub.close();
  await issuer.close();
});

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const exchange = (subject_token: string, more: Record<string, string> = {}) =>
  request(hub.server.listener)
    .post('/token')
    .type('form')
    .set('x-forwarded-for', randomUUID())
    .send({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token,
      subject_token_type: ACCESS_TOKEN,
      ...more,
    });
const whoami = (token: string) => request(hub.server.listener).get('/whoami').set('authorization', `Bearer ${token}`);
const now = () => Math.floor(Date.now() / 1000);

describe('a person exchanges her issuer’s token', () => {
  it('for one of the hub’s in the capacity that she chooses, and is recorded', async () => {
    const reply = await exchange(await issuer.token({ auth_time: 1_700_000_000 }), {
      role: 'physician',
      purpose_of_use: 'HRESCH',
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ issued_token_type: ACCESS_TOKEN, token_type: 'bearer', scope: 'user/*.cruds' });
    const caller = (await whoami(reply.body.access_token)).body;
    expect(caller).toMatchObject({
      id: 'Practitioner/li',
      purposeOfUse: 'HRESCH',
      clientId: 'app',
      authenticatedAt: 1_700_000_000,
    });
    expect((await auditEntries(hub))[0]).toMatchObject({ outcome: 0, agent: 'Practitioner/li', detail: 'token exchange' });
  });

  it('in one of several roles, each with its own identity', async () => {
    const as = async (role: string) =>
      (await whoami((await exchange(await issuer.token({ sub: 'both' }), { role })).body.access_token)).body;
    expect(await as('physician')).toMatchObject({ id: 'Practitioner/both', organizationId: 'a', purposeOfUse: 'TREAT' });
    expect(await as('patient')).toMatchObject({
      id: 'Patient/p-both',
      organizationId: '',
      patientId: 'p-both',
      purposeOfUse: 'PATRQT',
    });
    expect(await as('patient')).not.toHaveProperty('practitionerId');
    expect(await as('physician')).not.toHaveProperty('patientId');
  });

  it('for a token that lives no longer than the one given', async () => {
    const reply = await exchange(await issuer.token({ exp: now() + 60 }));
    expect(reply.body.expires_in).toBeLessThanOrEqual(60);
    expect((decodeJwt(reply.body.access_token).exp ?? 0) - now()).toBeLessThanOrEqual(60);
  });

  it('for a token with a narrower scope', async () => {
    const reply = await exchange(await issuer.token({ scope: 'user/*.rs' }), { scope: 'user/ImagingStudy.rs' });
    expect(reply.body.scope).toBe('user/ImagingStudy.rs');
  });
});

describe('nothing is widened by exchange', () => {
  const iua = (claims: Record<string, unknown>) => issuer.token({ extensions: { ihe_iua: claims } });

  it.each<[string, () => Promise<string>, Record<string, string>, string]>([
    ['a role that is not hers', () => issuer.token(), { role: 'auditor' }, 'invalid_request'],
    ['a purpose that is not her role’s', () => issuer.token(), { purpose_of_use: 'PUBHLTH' }, 'invalid_request'],
    ['break-glass', () => issuer.token(), { purpose_of_use: 'BTG' }, 'invalid_request'],
    ['no role where she has several', () => issuer.token({ sub: 'both' }), {}, 'invalid_request'],
    [
      'another purpose than the issuer states',
      () => iua({ purpose_of_use: 'TREAT' }),
      { purpose_of_use: 'HRESCH' },
      'invalid_request',
    ],
    ['a wider scope', () => issuer.token({ scope: 'user/ImagingStudy.rs' }), { scope: 'user/*.rs' }, 'invalid_scope'],
    ['a system’s scope', () => issuer.token(), { scope: 'system/*.rs' }, 'invalid_scope'],
    ['an unknown person', () => issuer.token({ sub: 'nobody' }), {}, 'invalid_request'],
    ['an expired token', () => issuer.token({ exp: now() - 60 }), {}, 'invalid_request'],
    ['an ID token', () => issuer.token({ nonce: 'n' }, { typ: 'JWT' }), {}, 'invalid_request'],
    ['garbage', async () => 'garbage', {}, 'invalid_request'],
    ['another target', () => issuer.token(), { audience: 'https://elsewhere.example' }, 'invalid_target'],
    [
      'another type of token',
      () => issuer.token(),
      { requested_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
      'invalid_request',
    ],
  ])('%s is refused and recorded', async (_name, token, more, error) => {
    const before = (await auditEntries(hub)).length;
    const reply = await exchange(await token(), more);
    expect([reply.status, reply.body.error]).toEqual([400, error]);
    expect(reply.body.access_token).toBeUndefined();
    const entries = await auditEntries(hub);
    expect(entries.length).toBe(before + 1);
    expect(entries[0]?.outcome).toBe(4);
  });

  it('a token of the hub’s own is not prolonged', async () => {
    const { access_token } = (await exchange(await issuer.token())).body;
    expect((await exchange(access_token)).body.error).toBe('invalid_request');
  });
});

it('token exchange is not offered where no issuer is configured', async () => {
  const alone = await startHub();
  const reply = await request(alone.server.listener).post('/token').type('form').send({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: 'x',
    subject_token_type: ACCESS_TOKEN,
  });
  expect(reply.body.error).toBe('unsupported_grant_type');
  await alone.close();
});
