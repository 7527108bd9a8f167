import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { clientOf } from './world.js';

let hub: RunningHub;
let token: string;
beforeAll(async () => {
  hub = await startHub();
  await hub.join([{ id: 'a', assigner: 'urn:oid:1.2.3' }]);
  token = await hub.system('a');
});
afterAll(() => hub.stop());

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part = ''): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());

describe('a token that does not hold', () => {
  it('is answered with 401, and with nothing that tells why', async () => {
    const [header, claims, signature] = token.split('.') as [string, string, string];
    const { keys } = (await hub.http().get('/jwks')).body as { keys: object[] };
    expect(keys).toHaveLength(1);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const signed = (head: object, body: object): string => {
      const input = `${encode(head)}.${encode(body)}`;
      return `${input}.${sign('sha384', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
    };
    const hmac = (input: string, key: string): string =>
      `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
    const body = decode(claims);
    const symmetric = `${encode({ ...decode(header), alg: 'HS256' })}.${claims}`;
    const forged: Record<string, string | undefined> = {
      none: undefined,
      empty: '',
      'alg none': `${encode({ ...decode(header), alg: 'none' })}.${claims}.`,
      'alg None': `${encode({ ...decode(header), alg: 'None' })}.${claims}.${signature}`,
      'published key as secret': hmac(symmetric, JSON.stringify(keys?.[0] ?? {})),
      'no secret': hmac(symmetric, ''),
      'another key': signed(decode(header), body),
      'a key of its own': signed({ ...decode(header), jwk: { kty: 'EC' }, jku: 'http://127.0.0.1:1/keys' }, body),
      'unknown kid': signed({ ...decode(header), kid: '../../dev/null' }, body),
      'other claims': `${header}.${encode({ ...body, exp: 9_999_999_999 })}.${signature}`,
      'another audience': `${header}.${encode({ ...body, aud: 'https://elsewhere.example' })}.${signature}`,
      'cut short': token.slice(0, -4),
      garbage: 'a.b.c',
      long: 'a'.repeat(9000),
    };
    const answers = new Set<string>();
    for (const [name, text] of Object.entries(forged)) {
      for (const path of ['/fhir/Patient', '/dicomweb/studies/1.2.3', '/quarantine', '/reports', '/identity/links']) {
        const answer = await clientOf(hub, text).get(path);
        expect([name, path, answer.status]).toEqual([name, path, 401]);
        answers.add(`${answer.text} ${answer.headers['www-authenticate']}`);
      }
    }
    expect(answers.size).toBe(1);
    expect((await clientOf(hub, token).get('/fhir/Patient')).status).toBe(200);
  });
  it('is taken from the header alone', async () => {
    for (const path of [`/fhir/Patient?access_token=${token}`, `/fhir/Patient?token=${token}`])
      expect((await clientOf(hub, undefined).get(path, { cookie: `access_token=${token}` })).status).toBe(401);
  });
});

describe('what needs no access token', () => {
  it('is nothing but the hub’s own description, and an archive’s word that something changed', async () => {
    const open =
      /^\/($|healthz|readyz|metrics|token|jwks|audit\/keys$|fhir\/metadata|(fhir\/)?\.well-known\/|demo-idp\b|launch\.js$)/;
    /** By a token of another kind, which opens and shows nothing. */
    const ofTheirOwn = ['/sources/{id}/changed'];
    const table = hub.hub.server.table().filter((route) => (route.settings.auth as unknown) === false);
    const paths = table.map((route) => route.path).filter((path) => !open.test(path));
    expect(table.length).toBeGreaterThan(4);
    expect(paths).toEqual(ofTheirOwn);
  });
});
