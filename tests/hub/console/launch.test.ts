import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { providerToken } from '../../../hub/demo/sign-in.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { startBrowser } from '../../support/browser.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const A = { id: 'hospital-a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.61' };
const B = { id: 'hospital-b', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.62' };
const PASSWORD = 'test-password';

let hub: RunningHub;
let system: string;
let patient: FhirResource;

beforeAll(async () => {
  hub = await startHub({ password: PASSWORD });
  await hub.join([A, B]);
  await hub.enrol(
    { username: 'li.wei', role: 'physician', organizationId: A.id },
    { username: 'zhao.min', role: 'physician', organizationId: A.id },
    { username: 'sun.yue', role: 'physician', organizationId: B.id },
  );
  system = await hub.system(A.id);
  patient = (await post('/fhir/Patient', samplePatient(A.assigner, 'P-77'))).body;
  await post('/fhir/ImagingStudy', sampleStudy(patient.id!, { description: '胸部CT平扫' }));
});
afterAll(() => hub?.stop());

async function post(path: string, body: object, token = system): Promise<{ status: number; body: FhirResource }> {
  const type = path.startsWith('/fhir') ? 'application/fhir+json' : 'application/json';
  const answer = await hub
    .http()
    .post(path)
    .set('authorization', `Bearer ${token}`)
    .set('content-type', type)
    .send(JSON.stringify(body));
  return { status: answer.status, body: answer.body };
}

const context = (number = 'P-77', subject = 'li.wei', system = A.assigner) => ({
  patient: { identifier: { system, value: number } },
  user: { subject },
});

/** The person's sign-in at the issuer, exchanged with a launch. */
async function exchange(username: string, launch: string, scope?: string): Promise<{ status: number; body: FhirResource }> {
  const answer = await hub
    .http()
    .post('/token')
    .type('form')
    .send({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await providerToken(hub.url, username, PASSWORD),
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      launch,
      ...(scope ? { scope } : {}),
    });
  return { status: answer.status, body: answer.body };
}

describe('a launch from a hospital’s system', () => {
  it('says nothing of the patient, and gives her to the person that it is for, once', async () => {
    const { status, body } = await post('/launch', context());
    expect(status).toBe(201);
    expect(body.iss).toBe(`${hub.url}/fhir`);
    expect(body.url).not.toMatch(new RegExp(`P-77|${patient.id}|li.wei`));
    const given = await exchange('li.wei', body.launch, 'launch user/ImagingStudy.rs');
    expect(given.body).toMatchObject({ patient: patient.id, need_patient_banner: true, scope: 'user/ImagingStudy.rs' });
    const again = await exchange('li.wei', body.launch);
    expect([again.status, again.body.error, again.body.patient]).toEqual([400, 'invalid_request', undefined]);
  });

  it('is nothing to anybody else, and gone after that', async () => {
    for (const other of ['zhao.min', 'sun.yue']) {
      const { body } = await post('/launch', context());
      expect([(await exchange(other, body.launch)).status, (await exchange('li.wei', body.launch)).status]).toEqual([400, 400]);
    }
  });

  it('is over after its time, and can’t be made up', async () => {
    const { body } = await post('/launch', context());
    await hub.db.pool.query("update launch_context set expires = now() - interval '1 second'");
    for (const launch of [body.launch, 'x', 'A'.repeat(43), "' or 1=1 --"])
      expect([launch, (await exchange('li.wei', launch)).status]).toEqual([launch, 400]);
  });

  it('is kept as a digest only, with no token of it anywhere', async () => {
    const { body } = await post('/launch', context());
    const { rows } = await hub.db.pool.query('select to_jsonb(l)::text as row from launch_context l');
    expect(rows).toHaveLength(1);
    expect(rows[0].row).not.toContain(body.launch);
  });

  it('is refused for a patient or a person of another hospital, or none, and to people', async () => {
    expect((await post('/launch', context('P-none'))).status).toBe(422);
    expect((await post('/launch', context('P-77', 'sun.yue'))).status).toBe(422);
    expect((await post('/launch', context('P-77', 'nobody'))).status).toBe(422);
    expect((await post('/launch', context(), await hub.system(B.id))).status).toBe(422);
    expect((await post('/launch', context(), await hub.person('li.wei'))).status).toBe(403);
    expect((await post('/launch', { patient: {}, user: {} })).status).toBe(400);
    expect((await hub.http().post('/launch').send(context())).status).toBe(401);
    const { rows } = await hub.db.pool.query(
      "select detail, count(*)::int as n from audit_event where subtype = 'launch' and outcome = 4 group by 1 order by 1",
    );
    expect(rows).toEqual([
      { detail: 'no such patient or person', n: 4 },
      { detail: 'role', n: 1 },
    ]);
  });

  it('is on record: who opened it for whom, and the token that it gave', async () => {
    const { rows } = await hub.db.pool.query(
      "select subtype, outcome, detail from audit_event where patient_id = $1 and (subtype = 'launch' or detail = 'token exchange, launch')",
      [patient.id],
    );
    expect(rows.filter((row) => row.subtype === 'launch').length).toBeGreaterThanOrEqual(4);
    expect(rows.filter((row) => row.subtype === 'token')).toEqual([
      { subtype: 'token', outcome: 0, detail: 'token exchange, launch' },
    ]);
  });

  it('is announced where clients look', async () => {
    const { body } = await hub.http().get('/.well-known/smart-configuration');
    expect(body.scopes_supported).toContain('launch');
    expect(body.scopes_supported).not.toContain('launch/patient');
  });
});

describe('the button of a hospital’s system, in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  async function press(username: string) {
    const { body } = await post('/launch', context());
    const page = await (await browser.newContext({ locale: 'zh-CN' })).newPage();
    const errors: string[] = [];
    const addresses: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('framenavigated', (frame) => addresses.push(frame.url()));
    await page.goto(body.url);
    await page.fill('#username', username);
    await page.fill('#password', PASSWORD);
    await page.click('button');
    return { page, errors, addresses };
  }

  it('opens the patient’s studies for whoever signs in as the one that it is for', async () => {
    const { page, errors, addresses } = await press('li.wei');
    await page.waitForSelector('li.study');
    expect(await page.locator('#patient').innerText()).toContain('李雷');
    expect(await page.locator('li.study').innerText()).toContain('胸部CT平扫');
    expect(errors).toEqual([]);
    expect(page.url()).toBe(`${hub.url}/`);
    expect(addresses.some((address) => /P-77/.test(address) || address.includes(patient.id!))).toBe(false);
    expect(await page.evaluate('sessionStorage.length + localStorage.length')).toBe(0);
  });

  it('lists all her studies with who holds them, and says of a machine’s report that nobody has checked it', async () => {
    for (let day = 1; day <= 50; day += 1)
      await post('/fhir/ImagingStudy', sampleStudy(patient.id!, { started: new Date(Date.UTC(2020, 0, day)).toISOString() }));
    const report = await post('/fhir/DiagnosticReport', {
      resourceType: 'DiagnosticReport',
      status: 'preliminary',
      code: { text: '肺结节评分' },
      subject: { reference: `Patient/${patient.id}` },
      effectiveDateTime: '2026-06-02T09:20:00+08:00',
      conclusion: '1 个结节',
    } as FhirResource);
    expect(report.status).toBe(201);
    const { page, errors } = await press('li.wei');
    await page.waitForSelector('li.report');
    expect(await page.locator('li.report').innerText()).toMatch(/2026-06-02 肺结节评分.*未经医师审核.*\n1 个结节/);
    expect(await page.locator('li.study').first().innerText()).toMatch(/hospital-a$/);
    expect(await page.locator('li.study').count()).toBe(50);
    await page.click('#studies + button');
    await page.locator('li.study').nth(50).waitFor();
    expect(await page.locator('button').count()).toBe(0);
    expect(errors).toEqual([]);
  });

  it('shows somebody else that it is not for her, and nothing of the patient', async () => {
    const { page } = await press('zhao.min');
    await page.waitForSelector('#state[role=alert]');
    expect(await page.locator('#state').innerText()).toContain('This launch is not');
    expect(await page.content()).not.toContain('李雷');
  });
});
