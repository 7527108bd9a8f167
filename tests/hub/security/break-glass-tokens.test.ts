import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { loadSigningKey } from '../../../hub/access/authentication/signing-key.js';
import { startTestIssuer, type TestIssuer } from '../authentication/test-issuer.js';
import { type Client, clientOf } from './world.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';

const SECRET = 'secret-of-the-tests-only';
let issuer: TestIssuer;
let hub: RunningHub;
let patient: string;
let study: string;
const now = () => Math.floor(Date.now() / 1000);

beforeAll(async () => {
  issuer = await startTestIssuer(() => hub.url);
  hub = await startHub({ config: { oidcIssuer: issuer.issuer, secret: SECRET } });
  await hub.join(['a', 'c'].map((id) => ({ id, assigner: `urn:oid:1.2.3.${id.charCodeAt(0)}` })));
  for (const id of ['one', 'two'])
    await bindAccount(hub.db, {
      issuer: issuer.issuer,
      subject: id,
      name: id,
      organizationId: 'c',
      practitionerId: id,
      roles: ['physician'],
    });
  for (const id of ['officer-1', 'officer-2'])
    await bindAccount(hub.db, {
      issuer: issuer.issuer,
      subject: id,
      name: id,
      organizationId: 'commission',
      roles: ['commission-officer'],
    });
  const a = clientOf(hub, await hub.system('a'));
  patient = (await a.post(samplePatient('urn:oid:1.2.3.97', 'A1'))).body.id;
  study = (await a.post(sampleStudy(patient))).body.id;
});
afterAll(async () => {
  await hub.stop();
  await issuer.close();
});

const person = async (sub: string, claims: object = { auth_time: now() }): Promise<Client> =>
  clientOf(hub, await issuer.token({ sub, ...claims }));
const breakGlass = (by: Client) =>
  by.post(
    { patient: { reference: `Patient/${patient}` }, reason: 'urgent-care', statement: 'Stroke, within the window.' },
    '/access/break-glass',
  );
const reads = async (token: string) => (await clientOf(hub, token).get(`/fhir/ImagingStudy/${study}`)).status;

/** A token like the hub's own, changed. */
async function forged(original: string, claims: object): Promise<string> {
  const key = await loadSigningKey(hub.db, SECRET);
  const payload = JSON.parse(Buffer.from(original.split('.')[1] ?? '', 'base64url').toString());
  return new SignJWT({ ...payload, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'at+jwt' })
    .sign(key.privateKey);
}

describe('the sign-in behind a break-glass session', () => {
  it('is fresh by the issuer’s word: one that is old, of tomorrow, or of no stated time is to be done again', async () => {
    for (const claims of [{ auth_time: now() - 301 }, { auth_time: now() + 120 }, {}, { auth_time: 'now' }, { auth_time: 0 }]) {
      const answer = await breakGlass(await person('one', claims));
      expect([claims, answer.status, answer.headers['www-authenticate']]).toEqual([
        claims,
        401,
        'Bearer realm="hub", error="insufficient_user_authentication", max_age="300"',
      ]);
    }
    expect((await breakGlass(await person('one', { auth_time: now() - 200 }))).status).toBe(201);
    const { rows } = await hub.db.pool.query(
      "select patient_id, organization_id from audit_event where subtype = 'break-glass' and outcome = 4 and detail like 'stale-authentication%'",
    );
    // the organization's own entries don't say whether there is such a patient
    const ofPatient = rows.filter((r) => r.organization_id === null);
    expect(ofPatient.map((r) => r.patient_id)).toEqual(new Array(5).fill(patient));
    expect(rows.filter((r) => r.organization_id !== null).map((r) => r.patient_id)).toEqual(new Array(5).fill(''));
  });
});

describe('the token of a session', () => {
  it('serves nobody but the one it was given to, whatever else a token names', async () => {
    const { body } = await breakGlass(await person('one'));
    const token: string = body.token.access_token;
    expect(await reads(token)).toBe(200);
    const { rows } = await hub.db.pool.query("select id from account where subject = 'two'");
    const other = `Account/${rows[0].id}`;
    expect(await reads(await forged(token, {}))).toBe(200);
    expect(await reads(await forged(token, { sub: other }))).toBe(403);
    expect(await reads(await forged(token, { exceptional_access: undefined }))).toBe(403);
    expect(await reads(await forged(token, { exceptional_access: 'another' }))).toBe(401);
    // an issuer can neither state the purpose nor name a session
    const purpose = { extensions: { ihe_iua: { purpose_of_use: ['BTG'] } } };
    expect(await reads(await issuer.token({ sub: 'one', ...purpose, exceptional_access: body.id }))).toBe(403);
    expect(await reads(await issuer.token({ sub: 'one', exceptional_access: body.id }))).toBe(404);
  });

  it('ends with the account, and does not serve the person at another hospital', async () => {
    const { body } = await breakGlass(await person('two'));
    await hub.db.pool.query("update exceptional_access set organization_id = 'a' where id = $1", [body.id]);
    expect(await reads(body.token.access_token)).toBe(403);
  });

  it('of an officer’s case is none of a physician’s', async () => {
    const officer = await person('officer-1', {});
    const opened = await officer.post(
      {
        patient: { reference: `Patient/${patient}` },
        caseNumber: 'YH-2026-014',
        ground: 'complaint',
        statement: 'A complaint was received.',
      },
      '/access/oversight-cases',
    );
    await (await person('officer-2')).post({}, `/access/exceptional/${opened.body.id}/confirm`);
    const token = (await officer.post({}, `/access/exceptional/${opened.body.id}/token`)).body.access_token;
    expect(await reads(token)).toBe(200);
    const physician = { extensions: { ihe_iua: { subject_role: ['physician'], purpose_of_use: ['TREAT'] } } };
    expect(await reads(await forged(token, physician))).toBe(403);
    expect(await reads(await issuer.token({ sub: 'officer-1' }))).toBe(404);
  });
});
