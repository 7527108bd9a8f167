import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { systems } from '../../../fhir-profiles/codes.js';
import { registerClient } from '../../../hub/access/authentication/accounts.js';
import { systemToken } from '../../../hub/demo/sign-in.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { startHubProcess, type TestHub } from '../../support/hub-process.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { businessStatus, kindOfTask, made, openWorld, organization, series, type World } from './world.js';

const SKEWS = { right: 0, 'five minutes ahead': 300_000, 'five minutes behind': -300_000 };
const preload = new URL('../../support/skewed-clock.js', import.meta.url).href;
const minutes = (n: number) => new Date(Date.now() + n * 60_000).toISOString();

/**
 * Hub processes whose clocks differ answer the same, for facts whose validity begins or ends within the five minutes by which they differ. The
 * leeway for tokens is set wider than that: token expiry is the one thing that a process's clock decides.
 */
describe('a hub process whose clock is five minutes wrong', () => {
  let database: TestDatabase;
  let world: World;
  const hubs: { name: string; hub: TestHub; d: string; a: string }[] = [];

  beforeAll(async () => {
    database = await testDatabase();
    world = await openWorld({ database });
    const keys = { d: await client('d', 'hospital-system'), a: await client('a', 'hospital-administrator') };
    for (const [name, skew] of Object.entries(SKEWS)) {
      const hub = await startHubProcess({
        databaseUrl: database.url,
        environment: { TEST_CLOCK_SKEW: String(skew), HUB_CLOCK_LEEWAY: '400' },
        nodeArguments: ['--import', preload],
      });
      const token = (who: 'd' | 'a', role: string) =>
        systemToken({ baseUrl: hub.url, clientId: `clock.${who}`, privateJwk: keys[who], scope: 'system/*.cruds', role });
      hubs.push({ name, hub, d: await token('d', 'hospital-system'), a: await token('a', 'hospital-administrator') });
    }
  });
  afterAll(async () => {
    await Promise.all(hubs.map(({ hub }) => hub.stop()));
    await world.hub.stop();
    await database.close();
  });

  async function client(organizationId: string, role: 'hospital-system' | 'hospital-administrator'): Promise<JWK> {
    const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
    const jwks = { keys: [(await exportJWK(publicKey)) as never] };
    await registerClient(database.db, {
      id: `clock.${organizationId}`,
      organizationId,
      name: 'clock',
      jwks,
      roles: [role],
      scope: 'system/*.cruds',
    });
    return exportJWK(privateKey);
  }

  const call = async (url: string, token: string, path: string, method = 'GET', body?: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' };
    const answer = await fetch(`${url}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    return { status: answer.status, body: (await answer.json()) as FhirResource };
  };
  const modality = (code: string) => ({ system: systems.dicomTerminology, code });
  const studyOf = (patient: FhirResource, code: string, more: object = {}) =>
    world.study('a', patient, { modality: [modality(code)], series: [series({ modality: modality(code) })], ...more });

  it('knows what is in force as the others do', async () => {
    const expected = new Map<string, boolean>();
    const patient = await world.patient('a', 'CLOCK0', { name: [{ text: '甲' }], birthDate: '1950-01-01' });
    const expects = async (of: FhirResource, code: string, isOpen: boolean, more: object = {}) =>
      void expected.set((await studyOf(of, code, more)).id, isOpen);
    const spans: [string, string, string, boolean][] = [
      ['CT', "now() - interval '1 hour'", "now() + interval '4 minutes'", true],
      ['MR', "now() - interval '1 hour'", "now() - interval '1 minute'", false],
      ['CR', "now() + interval '4 minutes'", "'infinity'", false],
      ['DX', "now() - interval '1 minute'", "'infinity'", true],
    ];
    for (const [code, from, until, isOpen] of spans) {
      await world.hub.db.pool.query(
        `insert into sharing_agreement (id, custodian_id, recipient_id, modality, valid_from, valid_until) values ($1, 'a', 'd', $2, ${from}, ${until})`,
        [`clock-${code}`, [code]],
      );
      await expects(patient, code, isOpen);
    }
    await world.hub.db.pool.query(
      "insert into sharing_agreement (id, custodian_id, recipient_id, modality, not_older_than_days) values ('clock-age', 'a', 'd', '{US}', 1)",
    );
    await expects(patient, 'US', true, { started: minutes(-24 * 60 + 4) });
    await expects(patient, 'US', false, { started: minutes(-24 * 60 - 1) });
    for (const [code, until, isOpen] of [
      ['MG', "now() + interval '4 minutes'", true],
      ['PT', "now() - interval '1 minute'", false],
    ] as const) {
      const { id } = await studyOf(patient, code);
      expected.set(id, isOpen);
      await world.hub.db.pool.query(
        `insert into access_grant (id, task_id, custodian_id, recipient_id, patient_id, resources, valid_from, valid_until, granted_by)
         values ($1, 'none', 'a', 'd', $2, $3, now() - interval '1 hour', ${until}, 'x')`,
        [`clock-${code}`, patient.id, [`ImagingStudy/${id}`]],
      );
    }
    const periods: [string, object, boolean][] = [
      ['CLOCK1', { end: minutes(4) }, false],
      ['CLOCK2', { end: minutes(-1) }, true],
      ['CLOCK3', { start: minutes(4) }, true],
      ['CLOCK4', { start: minutes(-1) }, false],
    ];
    for (const [number, period, isOpen] of periods) {
      const her = await world.patient('a', number, { name: [{ text: number }], birthDate: '1951-01-01' });
      await expects(her, 'CT', isOpen);
      made(await (await administrator()).post(denial(her, period)));
    }
    const answers = await Promise.all(
      hubs.map(async ({ hub, d }) => {
        const seen: [string, number][] = [];
        for (const id of expected.keys()) seen.push([id, (await call(hub.url, d, `/fhir/ImagingStudy/${id}`)).status]);
        const found = await call(hub.url, d, '/fhir/ImagingStudy?_count=200');
        return { seen, found: (found.body.entry ?? []).map((e: { resource: FhirResource }) => e.resource.id).sort() };
      }),
    );
    for (const { seen, found } of answers) {
      expect(seen.map(([id, status]) => [id, status === 200])).toEqual([...expected]);
      for (const [id, isOpen] of expected) expect([id, found.includes(id)]).toEqual([id, isOpen]);
    }
  });
  const administrator = () => world.person('administrator-a');
  const denial = (her: FhirResource, period: object): FhirResource => ({
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
    patient: { reference: `Patient/${her.id}` },
    dateTime: '2026-01-01',
    policyRule: { coding: [{ system: systems.actCode, code: 'OPTIN' }] },
    provision: { type: 'deny', period },
  });

  it('accepts a request until its deadline, and none beyond it', async () => {
    const request = (end: string): FhirResource => ({
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      code: kindOfTask('release-request'),
      focus: { reference: `ImagingStudy/${world.studyOfA.id}` },
      for: { reference: `Patient/${world.patientOfD.id}` },
      requester: organization('d'),
      restriction: { period: { end } },
    });
    for (const { name, hub, d, a } of hubs) {
      const late = await call(hub.url, d, '/fhir/Task', 'POST', request(minutes(-1)));
      expect([name, late.status]).toEqual([name, 422]);
      const placed = await call(hub.url, d, '/fhir/Task', 'POST', request(minutes(4)));
      expect([name, placed.status]).toEqual([name, 201]);
      expect(Math.abs(Date.parse(placed.body.authoredOn) - Date.now())).toBeLessThan(60_000);
      const accepted = await call(hub.url, a, `/fhir/Task/${placed.body.id}`, 'PUT', {
        ...placed.body,
        businessStatus: businessStatus('accepted'),
      });
      expect([name, accepted.status]).toEqual([name, 200]);
      expect([name, (await call(hub.url, d, `/fhir/ImagingStudy/${world.studyOfA.id}`)).status]).toEqual([name, 200]);
      const ended = await call(hub.url, a, `/fhir/Task/${placed.body.id}`, 'PUT', {
        ...accepted.body,
        businessStatus: businessStatus('returned'),
      });
      expect([name, ended.status]).toEqual([name, 200]);
    }
  });

  it('is wrong indeed: it dates its tokens by its own clock', async () => {
    const issued = hubs.map(({ d }) => JSON.parse(Buffer.from(d.split('.')[1] ?? '', 'base64url').toString()).iat as number);
    const [right, ahead, behind] = issued as [number, number, number];
    for (const [difference, skew] of [
      [ahead - right, 300],
      [behind - right, -300],
    ] as const)
      expect(Math.abs(difference - skew)).toBeLessThan(120);
  });
});
