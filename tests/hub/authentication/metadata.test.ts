import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { type HubUnderTest, startHub } from './hub-under-test.js';

let hub: HubUnderTest;
beforeAll(async () => {
  hub = await startHub({ oidcIssuer: 'https://idp.example' });
});
afterAll(() => hub.close());

const get = (path: string) => request(hub.server.listener).get(path);

describe('what the hub says of itself to clients', () => {
  it.each(['/.well-known/smart-configuration', '/fhir/.well-known/smart-configuration'])('%s is SMART’s', async (path) => {
    const { body, headers } = await get(path).expect(200);
    expect(headers['content-type']).toContain('application/json');
    expect(body).toMatchObject({
      token_endpoint: `${hub.baseUrl}/token`,
      token_endpoint_auth_methods_supported: expect.arrayContaining(['private_key_jwt']),
      token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['RS384', 'ES384']),
      capabilities: expect.arrayContaining(['client-confidential-asymmetric', 'permission-v2']),
    });
    // what stands for a sign-in at the hub itself is not claimed
    for (const absent of ['authorization_endpoint', 'issuer']) expect(body).not.toHaveProperty(absent);
    for (const absent of ['launch-ehr', 'launch-standalone', 'context-ehr-patient', 'sso-openid-connect'])
      expect(body.capabilities).not.toContain(absent);
  });

  it('names grants that its token endpoint knows', async () => {
    const { body } = await get('/.well-known/oauth-authorization-server').expect(200);
    expect(body.issuer).toBe(hub.baseUrl);
    for (const grant_type of body.grant_types_supported) {
      const reply = await request(hub.server.listener)
        .post(new URL(body.token_endpoint).pathname)
        .type('form')
        .send({ grant_type });
      expect(reply.body.error).not.toBe('unsupported_grant_type');
    }
  });

  it('names the issuer that people sign in at', async () => {
    const { body } = await get('/.well-known/oauth-protected-resource').expect(200);
    expect(body).toMatchObject({ resource: hub.baseUrl, authorization_servers: [hub.baseUrl, 'https://idp.example'] });
  });

  it('publishes its public key and nothing else of it', async () => {
    const { body } = await get('/jwks').expect(200);
    expect(body.keys).toHaveLength(1);
    expect(Object.keys(body.keys[0]).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  });
});
