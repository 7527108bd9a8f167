import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PURPOSES_OF_ROLE } from '../../../hub/access/authentication/purposes-of-role.js';
import { bindAccount } from '../../../hub/access/authentication/accounts.js';
import { PURPOSES, ROLES, type Role } from '../../../hub/access/caller.js';
import { startTestIssuer, type TestIssuer } from '../authentication/test-issuer.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { assigner, type Client, clientOf, made } from './world.js';

let issuer: TestIssuer;
let foreign: TestIssuer;
let hub: RunningHub;
let patientOfA: FhirResource & { id: string };
let studyOfA: FhirResource & { id: string };

beforeAll(async () => {
  let audience = '';
  issuer = await startTestIssuer(() => audience);
  foreign = await startTestIssuer(() => audience);
  hub = await startHub({ config: { oidcIssuer: issuer.issuer } });
  audience = hub.url;
  await hub.join(['a', 'c'].map((id) => ({ id, assigner: assigner(id) })));
  const own = bearer(await hub.system('a'));
  patientOfA = made(await own.post(samplePatient(assigner('a'), 'A1')));
  studyOfA = made(await own.post(sampleStudy(patientOfA.id)));
  await account('doctor', ['physician'], { organizationId: 'c', practitionerId: 'doctor' });
});
afterAll(async () => {
  await hub.stop();
  await Promise.all([issuer.close(), foreign.close()]);
});

const account = (subject: string, roles: Role[], more: object) =>
  bindAccount(hub.db, { issuer: issuer.issuer, subject, name: subject, roles, ...more });
const bearer = (token: string): Client => clientOf(hub, token);
const as = async (sub: string, claims: object = {}, from = issuer) => bearer(await from.token({ sub, ...claims }));
const iua = (claims: object) => ({ extensions: { ihe_iua: claims } });
const study = () => `/fhir/ImagingStudy/${studyOfA.id}`;
const lastOf = async (agent: string) =>
  (
    await hub.db.pool.query(
      'select organization_id, role, purpose from audit_event where agent = $1 order by recorded desc, id desc limit 1',
      [agent],
    )
  ).rows[0];

describe('another purpose, role or organization', () => {
  const AS_IT_IS = { organization_id: 'c', role: 'physician', purpose: 'TREAT' };
  it('is not had by a header, a parameter or a body', async () => {
    const doctor = await as('doctor');
    const headers = [
      'purpose-of-use',
      'x-purpose-of-use',
      'purpose',
      'x-role',
      'role',
      'x-organization',
      'x-user',
      'x-break-glass',
      'prefer',
    ];
    for (const value of ['BTG', 'HCOMPL', 'auditor', 'a', 'Organization/a', 'purpose=BTG'])
      for (const name of headers)
        expect([name, value, (await doctor.get(study(), { [name]: value })).status]).toEqual([name, value, 404]);
    for (const parameter of [
      'purpose=BTG',
      'purpose_of_use=BTG',
      'role=auditor',
      'organization=a',
      '_purpose=BTG',
      'access_token=x',
    ])
      expect([parameter, (await doctor.get(`${study()}?${parameter}`)).status]).toEqual([parameter, 404]);
    expect(await lastOf('Practitioner/doctor')).toEqual(AS_IT_IS);
    const meta = { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason', code: 'BTG' }] };
    const task = { resourceType: 'Organization', id: 'c', name: 'x', meta, purposeOfUse: 'HOPERAT', role: 'hub-administrator' };
    expect((await doctor.put(task)).status).not.toBe(200);
    expect((await doctor.get('/fhir/AuditEvent?role=auditor&purpose=HCOMPL')).status).toBe(403);
    expect(await lastOf('Practitioner/doctor')).toEqual(AS_IT_IS);
  });

  it('is not had by what a token asserts, of the issuer or of another one', async () => {
    const asserted = [
      { subject_role: 'auditor', purpose_of_use: 'HCOMPL' },
      { subject_role: 'hub-administrator' },
      { purpose_of_use: 'BTG' },
      { purpose_of_use: 'HCOMPL' },
      { subject_organization_id: 'a' },
      { subject_organization_id: `${'https://elsewhere.example'}/fhir/Organization/a` },
      { subject_role: 'Physician' },
      { subject_role: 'physician ' },
    ];
    for (const claims of asserted)
      expect([claims, (await (await as('doctor', iua(claims))).get(study())).status]).toEqual([claims, 403]);
    const loose = {
      role: 'auditor',
      roles: ['auditor'],
      purpose_of_use: 'BTG',
      purposeOfUse: 'BTG',
      organization: 'a',
      exceptional_access: 'x',
    };
    expect((await (await as('doctor', loose)).get(study())).status).toBe(404);
    expect(await lastOf('Practitioner/doctor')).toEqual(AS_IT_IS);
    for (const claims of [{}, iua({ subject_role: 'auditor' }), { iss: hub.url }, { iss: issuer.issuer }])
      expect((await (await as('doctor', claims, foreign)).get('/fhir/AuditEvent')).status).toBe(401);
  });

  const exchange = (token: string, more: object) =>
    hub
      .http()
      .post('/token')
      .type('form')
      .send({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        ...more,
      });

  it('is had by token exchange where the account’s role has the purpose, and nowhere else', async () => {
    await account('many', ['physician', 'auditor'], { organizationId: 'c', practitionerId: 'many' });
    const token = await issuer.token({ sub: 'many' });
    const given: string[] = [];
    for (const role of ROLES)
      for (const purpose of PURPOSES)
        if ((await exchange(token, { role, purpose_of_use: purpose })).status === 200) given.push(`${role} ${purpose}`);
    expect(given.sort()).toEqual(
      (['physician', 'auditor'] as const).flatMap((r) => PURPOSES_OF_ROLE[r].map((p) => `${r} ${p}`)).sort(),
    );
    expect(given.join()).not.toContain('BTG');
    const narrowed = await issuer.token({ sub: 'many', ...iua({ subject_role: 'physician', purpose_of_use: 'TREAT' }) });
    for (const more of [{ role: 'auditor' }, { purpose_of_use: 'HRESCH' }, { role: 'auditor', purpose_of_use: 'HCOMPL' }])
      expect((await exchange(narrowed, more)).status).toBe(400);
    expect((await exchange(await foreign.token({ sub: 'many' }), { role: 'auditor' })).status).toBe(400);
  });

  it('is had by a system only as it is registered', async () => {
    const given: string[] = [];
    for (const role of ROLES)
      for (const purpose of PURPOSES)
        if (role === 'hospital-system' && (await hub.system('c', role, purpose).catch(() => undefined))) given.push(purpose);
    expect(given.sort()).toEqual([...PURPOSES_OF_ROLE['hospital-system']].sort());
  });
});

describe('an id that is equal to a role, an organization or another’s id', () => {
  it('gives nothing that is theirs', async () => {
    await hub.db.pool.query(
      "insert into organization (id, kind, name) values ('auditor', 'hospital', 'x'), ('hub-administrator', 'hospital', 'x'), ('anyone', 'hospital', 'x')",
    );
    await account('auditor', ['physician'], { organizationId: 'auditor', practitionerId: 'auditor' });
    await account('hub-administrator', ['physician'], {
      organizationId: 'hub-administrator',
      practitionerId: 'hub-administrator',
    });
    await account('anyone', ['identity-steward'], { organizationId: 'anyone' });
    await account('Client/a.hospital-system', ['physician'], { organizationId: 'c', practitionerId: 'a' });
    for (const name of ['auditor', 'hub-administrator', 'anyone', 'Client/a.hospital-system']) {
      const client = await as(name);
      expect([name, (await client.get('/fhir/AuditEvent')).status]).toEqual([name, 403]);
      expect([name, (await client.put({ resourceType: 'Organization', id: 'c', name: 'x' })).status]).toEqual([name, 403]);
      expect([name, (await client.get(study())).status]).toEqual([name, 404]);
      expect([name, (await client.get('/reports/exchange-volume')).status]).toEqual([name, 403]);
    }
  });

  it('of a practitioner is no patient’s and no client’s, nor the other way round', async () => {
    const patient = patientOfA.id;
    await hub.db.pool.query(
      `insert into access_grant (id, task_id, custodian_id, recipient_id, practitioner_id, patient_id, resources, valid_from, granted_by)
       values ('to-doctor', 'none', 'a', 'c', 'doctor', $1, $2, now(), 'x')`,
      [patient, [`ImagingStudy/${studyOfA.id}`]],
    );
    expect((await (await as('doctor')).get(study())).status).toBe(200);
    // a physician whose practitioner id is a Patient's, a patient whose Patient id is the physician's, a person and a system called like him
    await account('twin', ['physician'], { organizationId: 'c', practitionerId: patient });
    await account('patient-doctor', ['patient'], { patientId: 'doctor' });
    await account('Practitioner/doctor', ['identity-steward'], { organizationId: 'c' });
    for (const name of ['twin', 'patient-doctor', 'Practitioner/doctor'])
      expect([name, (await (await as(name)).get(study())).status]).toEqual([name, 404]);
    expect((await bearer(await hub.system('c')).get(study())).status).toBe(404);
    // and in the audit each reads his own only
    const seen = await (await as('patient-doctor')).get('/fhir/AuditEvent');
    expect([seen.status, seen.body.entry]).toEqual([200, undefined]);
    await hub.db.pool.query("delete from access_grant where id = 'to-doctor'");
  });

  it('of an account or client is no subject at the issuer', async () => {
    const { rows } = await hub.db.pool.query("select id from account where subject = 'doctor'");
    for (const sub of [rows[0].id, `Account/${rows[0].id}`, 'c.hospital-system', 'Client/c.hospital-system'])
      expect([sub, (await (await as(sub)).get(study())).status]).toEqual([sub, 403]);
  });
});
