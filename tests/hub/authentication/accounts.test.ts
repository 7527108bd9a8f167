import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bindAccount, registerClient } from '../../../hub/access/authentication/accounts.js';
import { bindPatientByIdentifier } from '../../../hub/access/authentication/bind-patient.js';
import { loadSigningKey } from '../../../hub/access/authentication/signing-key.js';
import { sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { newKeys } from './hub-under-test.js';

let test: TestDatabase;
beforeAll(async () => {
  test = await testDatabase();
});
afterAll(() => test.close());

const person = {
  issuer: 'https://idp.example',
  subject: 's',
  name: 'n',
  organizationId: 'a',
  practitionerId: 'p',
  roles: ['physician'] as ['physician'],
};

describe('bindAccount', () => {
  it('replaces what the same identity was bound to', async () => {
    const first = await bindAccount(test.db, person);
    const second = await bindAccount(test.db, { ...person, roles: ['auditor'], practitionerId: undefined });
    expect(second).toMatchObject({ id: first.id, roles: ['auditor'], practitionerId: null });
  });

  it.each<[string, object]>([
    ['practitionerId', { practitionerId: undefined }],
    ['patientId', { roles: ['patient'] }],
    ['organizationId', { organizationId: undefined }],
    ['hospital-system', { roles: ['hospital-system'] }],
    ['roles', { roles: [] }],
    ['roles', { roles: ['king'] }],
    ['subject', { subject: 'a\0b' }],
    ['issuer', { issuer: 'idp' }],
  ])('refuses an account without a sound %s (%j)', async (word, change) => {
    await expect(bindAccount(test.db, { ...person, ...change })).rejects.toThrow(word);
  });
});

describe('registerClient', () => {
  it.each<[string, () => Promise<object>]>([
    ['private key', async () => ({ jwks: { keys: [(await newKeys('ES256')).privateJwk] } })],
    ['jwks', async () => ({ jwks: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } })],
    ['not a key', async () => ({ jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' }] } })],
    ['2048', async () => ({ jwks: { keys: [{ kty: 'RSA', n: 'a'.repeat(171), e: 'AQAB' }] } })],
    ['either jwks or jwksUri', async () => ({ jwks: undefined })],
    ['jwksUri', async () => ({ jwks: undefined, jwksUri: 'file:///etc/passwd' })],
    ['scope', async () => ({ scope: 'user/*.cruds' })],
    ['scope', async () => ({ scope: '' })],
    ['roles', async () => ({ roles: ['physician'] })],
    ['roles', async () => ({ roles: ['patient'] })],
    ['id', async () => ({ id: 'Client/x' })],
  ])('names %s as what is wrong', async (word, change) => {
    const { publicJwk } = await newKeys('ES256');
    const sound = {
      id: 'c',
      organizationId: 'a',
      name: 'n',
      jwks: { keys: [publicJwk] },
      roles: ['hospital-system'],
      scope: 'system/*.rs',
    };
    await expect(registerClient(test.db, { ...sound, ...(await change()) } as never)).rejects.toThrow(word);
    await expect(registerClient(test.db, sound as never)).resolves.toMatchObject({ id: 'c', enabled: true });
  });
});

describe('bindPatientByIdentifier', () => {
  it('leaves an account that exists as it is, even one that is disabled', async () => {
    await test.db.query(
      sql`insert into patient_identifier values ('urn:national', 'N1', 'a', 'p1', 'national'), ('urn:h', 'N2', 'a', 'p2', 'hospital')`,
    );
    const identity = { issuer: 'https://idp.example', subject: 'pat', nationalIdentifier: ' n1 ' };
    expect(await bindPatientByIdentifier(test.db, identity)).toBeDefined();
    await test.db.query(sql`update account set enabled = false where subject = 'pat'`);
    expect(await bindPatientByIdentifier(test.db, identity)).toBeUndefined();
    expect(await test.db.query(sql`select enabled from account where subject = 'pat'`)).toEqual([{ enabled: false }]);
  });

  it('takes no hospital’s number for a national identifier', async () => {
    expect(
      await bindPatientByIdentifier(test.db, { issuer: 'https://idp.example', subject: 'x', nationalIdentifier: 'N2' }),
    ).toBeUndefined();
  });
});

describe('the hub’s signing key', () => {
  it('is the same for all processes that start at once, and never stored in the clear', async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, () => loadSigningKey(test.db, 'a secret of the operator')));
    expect(new Set(keys.map((k) => k.kid)).size).toBe(1);
    expect(keys[0]?.publicJwk).not.toHaveProperty('d');
    const [row] = await test.db.query<{ value: { sealed: string } }>(sql`select value from hub_secret`);
    expect(Buffer.from(row?.value.sealed ?? '', 'base64').toString('latin1')).not.toContain('"kty"');
  });

  it('does not open with another secret', async () => {
    await loadSigningKey(test.db, 'a secret of the operator');
    await expect(loadSigningKey(test.db, 'another secret, mistaken')).rejects.toThrow('another secret');
  });
});
