import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createGrantReevaluation } from '../../../hub/referral/overdue.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import {
  type Answer,
  businessStatus,
  type Client,
  caller,
  inDays,
  kind,
  openRegion,
  organization,
  type Region,
} from './region.js';

let region: Region;
let custodian: Client;
let b: Client;
let wanted: string;
let other: string;
let patientOfA: string;
let patientOfB: string;

beforeAll(async () => {
  region = await openRegion();
  custodian = region.as(caller('hospital-a', 'hospital-administrator'));
  b = region.as(caller('hospital-b'));
});
afterAll(async () => {
  await region.audit.close();
  await region.close();
});
beforeEach(async () => {
  patientOfA = await region.patient('hospital-a');
  patientOfB = await region.patient('hospital-b');
  await region.link(patientOfA, patientOfB, 'hospital-b');
  wanted = await region.study('hospital-a', patientOfA);
  other = await region.study('hospital-a', patientOfA);
});

const ask = (client: Client = b, changes: object = {}): Promise<Answer> =>
  client.post({
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    code: kind('release-request'),
    focus: { reference: `ImagingStudy/${wanted}` },
    for: { reference: `Patient/${patientOfB}` },
    requester: organization('hospital-b'),
    restriction: { period: { end: inDays(20) } },
    ...changes,
  });

async function asked(changes: object = {}): Promise<FhirResource> {
  const answer = await ask(b, changes);
  expect([answer.status, answer.body.issue]).toEqual([201, undefined]);
  return answer.body;
}

const move = (client: Client, task: FhirResource, to: string, changes: object = {}) =>
  client.put({ ...task, businessStatus: businessStatus(to), ...changes });

const reads = async (study: string) => (await b.read(`ImagingStudy/${study}`)).status;

describe('a release request', () => {
  it('is decided by the custodian and opens exactly this study until it is completed', async () => {
    const refused = await b.read(`ImagingStudy/${wanted}`);
    expect([refused.status, refused.body.issue[0].details.coding[0].code]).toEqual([403, 'no-basis']);
    const task = await asked();
    expect(task.owner).toEqual(organization('hospital-a'));
    const accepted = await move(custodian, task, 'accepted');
    expect(accepted.status).toBe(200);
    expect([await reads(wanted), await reads(other)]).toEqual([200, 403]);
    expect((await region.as(caller('hospital-c')).read(`ImagingStudy/${wanted}`)).status).toBe(404);
    const completed = await move(b, accepted.body, 'completed');
    expect(completed.body.status).toBe('completed');
    expect(await reads(wanted)).toBe(403);
  });

  it('may be declined, given back, or revoked at any time', async () => {
    const declined = await move(custodian, await asked(), 'declined', { statusReason: { text: 'Ask the patient first.' } });
    expect(declined.body).toMatchObject({ status: 'rejected', statusReason: { text: 'Ask the patient first.' } });
    const first = (await move(custodian, await asked(), 'accepted')).body;
    expect((await move(b, first, 'cancelled')).status).toBe(200);
    expect(await reads(wanted)).toBe(403);
    for (const end of ['cancelled', 'returned']) {
      const task = (await move(custodian, await asked(), 'accepted')).body;
      expect(await reads(wanted)).toBe(200);
      expect((await move(custodian, task, end)).status).toBe(200);
      expect(await reads(wanted)).toBe(403);
    }
  });

  it('is granted by nobody who acts for the one that asks, and by a person only', async () => {
    const task = await asked();
    expect((await move(b, task, 'accepted')).status).toBe(409);
    expect((await move(region.as(caller('hospital-b', 'hospital-administrator')), task, 'accepted')).status).toBe(409);
    expect((await move(region.as(caller('hospital-a', 'hospital-system')), task, 'accepted')).status).toBe(403);
    expect((await move(region.as(caller('hospital-c', 'hospital-administrator')), task, 'accepted')).status).toBe(422);
    expect(await reads(wanted)).toBe(403);
    expect((await move(region.as(caller('hospital-a')), task, 'accepted')).status).toBe(200);
  });

  it('for a study that the requester may not know of is refused like one for a study that does not exist', async () => {
    const strange = await region.study('hospital-a', await region.patient('hospital-a'));
    const hidden = await ask(b, { focus: { reference: `ImagingStudy/${strange}` } });
    const absent = await ask(b, { focus: { reference: 'ImagingStudy/019a0000-0000-7000-8000-000000000000' } });
    expect([hidden.status, hidden.body]).toEqual([422, absent.body]);
  });

  it('is refused by the writer itself when the study may not be known, whatever was checked before', async () => {
    const strange = await region.study('hospital-a', patientOfA);
    await region.db.query(sql`update resource set patient_id = ${await region.patient('hospital-a')} where id = ${strange}`);
    const who = caller('hospital-b');
    const resource = {
      resourceType: 'Task',
      status: 'requested',
      code: kind('release-request'),
      focus: { reference: `ImagingStudy/${strange}` },
      for: { reference: `Patient/${patientOfB}` },
      requester: organization('hospital-b'),
    };
    const placing = region.db.transaction(async (tx) => {
      const access = await region.deps.access.forCaller(tx, who);
      return region.deps.writers.Task!.create(tx, [
        { caller: who, context: { requestId: 'test', address: '' }, access, resource },
      ]);
    });
    await expect(placing).rejects.toMatchObject({ status: 422, issues: [{ code: 'not-found', expression: ['Task.focus'] }] });
  });

  it('is refused for one’s own study, to another than the custodian, for another patient, in another’s name', async () => {
    const own = await region.study('hospital-b', patientOfB);
    expect((await ask(b, { focus: { reference: `ImagingStudy/${own}` } })).status).toBe(422);
    expect((await ask(b, { owner: organization('hospital-c') })).status).toBe(422);
    expect((await ask(b, { for: { reference: `Patient/${await region.patient('hospital-b')}` } })).status).toBe(422);
    expect((await ask(b, { requester: organization('hospital-a') })).status).toBe(403);
  });

  it('has its time shortened by the custodian, never lengthened, and a default where none is stated', async () => {
    const task = await asked();
    expect((await move(custodian, task, 'accepted', { restriction: { period: { end: inDays(25) } } })).status).toBe(422);
    const end = inDays(2);
    expect((await move(custodian, task, 'accepted', { restriction: { period: { end } } })).body.restriction.period.end).toBe(end);
    const [grant] = await region.db.query<{ valid_until: Date }>(
      sql`select valid_until from access_grant where task_id = ${task.id}`,
    );
    expect(grant!.valid_until.getTime() - new Date(end).getTime()).toBeLessThanOrEqual(1);
    const open = await asked({ restriction: undefined });
    const days = (new Date(open.restriction.period.end).getTime() - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(30);
  });

  it('opens nothing against the patient’s consent', async () => {
    const task = await asked();
    await region.db.query(sql`
      insert into consent_rule (consent_id, patient_id, consent_version, provision, decision) values ('c', ${patientOfA}, 1, 'Consent.provision', 'deny')`);
    expect((await move(custodian, task, 'accepted')).status).toBe(200);
    expect(await reads(wanted)).not.toBe(200);
  });

  it('goes back when the patients turn out to be two persons', async () => {
    const accepted = (await move(custodian, await asked(), 'accepted')).body;
    expect(await reads(wanted)).toBe(200);
    const reevaluate = createGrantReevaluation(region.audit);
    await region.db.transaction((tx) => reevaluate(tx, [patientOfA, patientOfB]));
    expect(await reads(wanted)).toBe(200);
    await region.db.transaction(async (tx) => {
      await tx.query(sql`delete from cross_reference where cluster_id = ${patientOfA}`);
      await tx.query(sql`delete from patient_registration where organization_id = 'hospital-b' and patient_id = ${patientOfA}`);
      await reevaluate(tx, [patientOfA, patientOfB]);
    });
    expect(await reads(wanted)).toBe(404);
    const task = (await b.read(`Task/${accepted.id}`)).body;
    expect(task).toMatchObject({
      businessStatus: businessStatus('returned'),
      statusReason: { text: expect.stringContaining('no longer linked') },
    });
    expect((await move(b, task, 'requested')).status).toBe(200);
    expect((await move(custodian, (await b.read(`Task/${accepted.id}`)).body, 'accepted')).status).toBe(409);
  });
});
