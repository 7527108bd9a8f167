import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { closeOverdue } from '../../../hub/referral/overdue.js';
import { undelivered } from '../../../hub/store/outbox.js';
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
let a: Client;
let b: Client;
let patient: string;
let attached: string;
let other: string;

beforeAll(async () => {
  region = await openRegion();
  a = region.as(caller('hospital-a'));
  b = region.as(caller('hospital-b'));
});
afterAll(async () => {
  await region.audit.close();
  await region.close();
});
beforeEach(async () => {
  patient = await region.patient('hospital-a');
  attached = await region.study('hospital-a', patient);
  other = await region.study('hospital-a', patient);
});

const question = (changes: object = {}): FhirResource => ({
  resourceType: 'ServiceRequest',
  status: 'active',
  intent: 'order',
  code: { text: 'Opinion on a pulmonary nodule' },
  subject: { reference: `Patient/${patient}` },
  requester: organization('hospital-a'),
  performer: [organization('hospital-b')],
  ...changes,
});

const task = (changes: object = {}): FhirResource => ({
  resourceType: 'Task',
  status: 'requested',
  intent: 'order',
  code: kind('consultation-request'),
  businessStatus: businessStatus('requested'),
  focus: { reference: 'urn:uuid:7d1c3b7e-0000-4000-8000-000000000001' },
  for: { reference: `Patient/${patient}` },
  requester: organization('hospital-a'),
  owner: organization('hospital-b'),
  restriction: { period: { end: inDays(7) } },
  input: [{ type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${attached}` } }],
  ...changes,
});

const place = (client: Client = a, taskChanges: object = {}, questionChanges: object = {}): Promise<Answer> =>
  client.transaction([
    { fullUrl: 'urn:uuid:7d1c3b7e-0000-4000-8000-000000000001', resource: question(questionChanges) },
    { fullUrl: 'urn:uuid:7d1c3b7e-0000-4000-8000-000000000002', resource: task(taskChanges) },
  ]);

async function placed(taskChanges: object = {}, questionChanges: object = {}): Promise<FhirResource> {
  const answer = await place(a, taskChanges, questionChanges);
  expect(answer.status).toBe(200);
  return answer.body.entry[1].resource ?? (await a.read(answer.body.entry[1].response.location.match(/Task\/[^/]+/)[0])).body;
}

const move = (client: Client, current: FhirResource, to: string, changes: object = {}): Promise<Answer> =>
  client.put({ ...current, businessStatus: businessStatus(to), ...changes });

async function moved(client: Client, current: FhirResource, to: string, changes: object = {}): Promise<FhirResource> {
  const answer = await move(client, current, to, changes);
  expect([answer.status, answer.body.issue]).toEqual([200, undefined]);
  return answer.body;
}

const opinion = (changes: object = {}): FhirResource => ({
  resourceType: 'DiagnosticReport',
  status: 'final',
  code: { text: 'Second opinion' },
  subject: { reference: `Patient/${patient}` },
  performer: [organization('hospital-b')],
  imagingStudy: [{ reference: `ImagingStudy/${attached}` }],
  conclusion: 'Granuloma.',
  ...changes,
});

const grants = (taskId?: string) =>
  region.db.query<{ ended_because: string | null; resources: string[]; practitioner_id: string | null }>(
    sql`select resources, ended_because, practitioner_id from access_grant where task_id = ${taskId} order by id`,
  );

const events = async (taskId?: string) => {
  const rows = await region.db.query<{ event: string }>(sql`
    select type || ' ' || subtype as event from audit_event where entity @> ${[`Task/${taskId}`]}::text[] and type in ('referral', 'access') order by id`);
  return rows.map((r) => r.event);
};

describe('a consultation', () => {
  it('opens exactly what was attached, from acceptance to completion, and leaves the opinion with both', async () => {
    const requested = await placed();
    expect((await b.read(`Task/${requested.id}`)).status).toBe(200);
    expect((await b.read(requested.focus.reference)).status).toBe(200);
    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(404);
    expect((await b.read(`Patient/${patient}`)).status).toBe(404);

    const accepted = await moved(b, requested, 'accepted');
    expect(accepted.status).toBe('accepted');
    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(200);
    expect((await b.read(`Patient/${patient}`)).status).toBe(200);
    expect((await b.read(`ImagingStudy/${other}`)).status).toBe(404);
    expect((await region.as(caller('hospital-c')).read(`ImagingStudy/${attached}`)).status).toBe(404);

    const report = await b.post(opinion());
    expect(report.status).toBe(201);
    const output = [{ type: { text: 'opinion' }, valueReference: { reference: `DiagnosticReport/${report.body.id}` } }];
    const working = await moved(b, accepted, 'in-progress');
    const completed = await moved(b, working, 'completed', { output });
    expect(completed.status).toBe('completed');

    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(404);
    expect((await b.read(`DiagnosticReport/${report.body.id}`)).status).toBe(200);
    expect((await a.read(`DiagnosticReport/${report.body.id}`)).body.conclusion).toBe('Granuloma.');
    expect(await grants(completed.id)).toMatchObject([
      { ended_because: 'complete', resources: [`Patient/${patient}`, `ImagingStudy/${attached}`] },
    ]);
    expect(await events(completed.id)).toEqual([
      'referral submit',
      'access grant',
      'referral accept',
      'referral start',
      'access grant-end',
      'referral complete',
    ]);
  });

  it('tells the other party of each step, by reference only', async () => {
    const requested = await placed();
    await moved(b, requested, 'received');
    const [toB] = (await undelivered(region.db, 'hospital-b', 1000)).filter((e) => e.payload.task === `Task/${requested.id}`);
    const [toA] = (await undelivered(region.db, 'hospital-a', 1000)).filter((e) => e.payload.task === `Task/${requested.id}`);
    expect([toB?.topic, toA?.topic]).toEqual(['referral.submit', 'referral.receive']);
    expect(Object.keys(toA!.payload).sort()).toEqual(['kind', 'task', 'version']);
  });

  it.each([
    ['decline', async (t: FhirResource) => moved(b, t, 'declined'), 'rejected', 0],
    ['cancellation before acceptance', async (t: FhirResource) => moved(a, t, 'cancelled'), 'cancelled', 0],
    [
      'cancellation asked for after acceptance',
      async (t: FhirResource) => moved(a, await moved(b, t, 'accepted'), 'cancellation-requested'),
      'on-hold',
      1,
    ],
    ['return', async (t: FhirResource) => moved(b, await moved(b, t, 'accepted'), 'returned'), 'on-hold', 1],
  ])('leaves nothing open after %s', async (_, end, status, minted) => {
    const ended = await end(await placed());
    expect(ended.status).toBe(status);
    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(404);
    const all = await grants(ended.id);
    expect(all).toHaveLength(minted);
    expect(all.every((g) => g.ended_because !== null)).toBe(true);
  });

  it('is cancelled when the performer confirms, and stays so', async () => {
    const asked = await moved(a, await moved(b, await placed(), 'accepted'), 'cancellation-requested');
    const cancelled = await moved(b, asked, 'cancelled');
    for (const state of ['accepted', 'requested', 'in-progress', 'completed']) {
      expect((await move(a, cancelled, state)).status).toBe(409);
      expect((await move(b, cancelled, state)).status).toBe(409);
    }
  });

  it('is not accepted by the one who asks, nor moved by a stranger; the refusal names what is allowed', async () => {
    const requested = await placed();
    const own = await move(a, requested, 'accepted');
    expect(own.status).toBe(409);
    expect(own.body.issue[0]).toMatchObject({
      diagnostics: expect.stringContaining('Allowed: cancelled'),
      expression: ['Task.businessStatus'],
    });
    const stranger = region.as(caller('hospital-c'));
    const hidden = await move(stranger, requested, 'accepted');
    expect(hidden).toEqual(await move(stranger, { ...requested, id: '019a0000-0000-7000-8000-000000000000' }, 'accepted'));
    expect(hidden.status).toBe(422);
    expect(await grants(requested.id)).toEqual([]);
  });

  it('moves by Task.status where the client does not speak of business states', async () => {
    const { businessStatus: _, ...plain } = await placed();
    const accepted = await b.put({ ...plain, status: 'accepted' });
    expect(accepted.body).toMatchObject({ status: 'accepted', businessStatus: businessStatus('accepted') });
    expect((await b.put({ ...accepted.body, status: 'draft' })).status).toBe(409);
  });

  it('changes in state, note, output and reason only', async () => {
    const requested = await placed();
    const wider = [...requested.input, { type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${other}` } }];
    for (const [name, value] of Object.entries({
      owner: organization('hospital-c'),
      input: wider,
      restriction: { period: { end: inDays(90) } },
    })) {
      const answer = await move(a, requested, 'cancelled', { [name]: value });
      expect([answer.status, answer.body.issue[0].expression]).toEqual([422, [`Task.${name}`]]);
    }
    const noted = await a.put({ ...requested, note: [{ text: 'Urgent for the family.' }] });
    expect(noted.status).toBe(200);
    const erased = await b.put({ ...noted.body, note: [] });
    expect([erased.status, erased.body.issue[0].expression]).toEqual([422, ['Task.note']]);
  });

  it('is completed with an opinion of the performer, and no other record', async () => {
    const accepted = await moved(b, await placed(), 'accepted');
    expect((await move(b, accepted, 'completed')).status).toBe(422);
    const own = await a.post(opinion({ performer: [organization('hospital-a')] }));
    const output = [{ type: { text: 'opinion' }, valueReference: { reference: `DiagnosticReport/${own.body.id}` } }];
    expect((await move(b, accepted, 'completed', { output })).status).toBe(422);
  });

  it('lets the performer write about the attached studies alone, and only while it lasts', async () => {
    const requested = await placed();
    expect((await b.post(opinion())).status).toBe(422);
    const accepted = await moved(b, requested, 'accepted');
    const beyond = await region.study('hospital-b', await region.patient('hospital-b'));
    expect((await b.post(opinion({ imagingStudy: [{ reference: `ImagingStudy/${beyond}` }] }))).status).toBe(403);
    expect((await b.post(opinion())).status).toBe(201);
    await moved(b, accepted, 'returned');
    expect((await b.post(opinion())).status).toBe(422);
  });

  it('leaves the performer’s opinion to the performer: the requester reads, it does not rewrite', async () => {
    await moved(b, await placed(), 'accepted');
    const report = (await b.post(opinion())).body;
    expect((await a.put({ ...report, conclusion: 'Something else.' })).status).toBe(403);
    expect((await b.put({ ...report, status: 'amended', conclusion: 'Hamartoma.' })).status).toBe(200);
    expect((await a.read(`DiagnosticReport/${report.id}`)).body.conclusion).toBe('Hamartoma.');
  });

  it('is given to the practitioner whom the ServiceRequest names, and to no colleague', async () => {
    const expert = region.as(caller('hospital-b', 'physician', 'expert'));
    await region.db.query(sql`insert into resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, content)
      values ('Practitioner', '', 'expert', '', 1, now(), '{}', '{}', '{}', '{}', '{}', '{}') on conflict do nothing`);
    const performer = [organization('hospital-b'), { reference: 'Practitioner/expert' }];
    const requested = await placed({}, { performer });
    expect((await move(b, requested, 'accepted')).status).toBe(403);
    await moved(expert, requested, 'accepted');
    expect((await expert.read(`ImagingStudy/${attached}`)).status).toBe(200);
    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(404);
  });

  it('is not seen by the performer while it is a draft', async () => {
    const draft = await placed({ status: 'draft', businessStatus: businessStatus('draft') });
    expect((await b.read(`Task/${draft.id}`)).status).toBe(404);
    await moved(a, draft, 'requested');
    expect((await b.read(`Task/${draft.id}`)).status).toBe(200);
  });

  it('ends with its deadline, and the hub closes it', async () => {
    const accepted = await moved(b, await placed(), 'accepted');
    await region.db.query(sql`update access_grant set valid_until = now() where task_id = ${accepted.id}`);
    expect((await b.read(`ImagingStudy/${attached}`)).status).toBe(404);
    expect(await closeOverdue(region.db, region.audit)).toBe(0);
    expect(await closeOverdue(region.db, region.audit, new Date(inDays(8)))).toBeGreaterThanOrEqual(1);
    expect((await a.read(`Task/${accepted.id}`)).body).toMatchObject({
      status: 'failed',
      businessStatus: businessStatus('unattended'),
    });
    expect(await grants(accepted.id)).toMatchObject([{ ended_because: 'expire' }]);
    expect(await closeOverdue(region.db, region.audit, new Date(inDays(8)))).toBe(0);
  });

  it('can’t be answered on a version that is no longer current', async () => {
    const requested = await placed();
    await moved(a, requested, 'cancelled');
    expect((await b.put({ ...requested, businessStatus: businessStatus('accepted') }, 'W/"1"')).status).toBe(412);
  });
});

describe('a consultation is not placed', () => {
  const nothing = async () => {
    const rows = await region.db.query(
      sql`select from resource where type in ('Task', 'ServiceRequest') and patient_id = ${patient}`,
    );
    expect(rows).toHaveLength(0);
  };

  it('with a study that is not the caller’s: unknown ones all look the same', async () => {
    const foreign = await region.study('hospital-c', await region.patient('hospital-c'));
    const input = (id: string) => ({ input: [{ type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${id}` } }] });
    const hidden = await place(a, input(foreign));
    const absent = await place(a, input('019a0000-0000-7000-8000-000000000000'));
    expect([hidden.status, hidden.body]).toEqual([422, absent.body]);
    await nothing();
  });

  it('with a study that the caller may know of but not disclose', async () => {
    const theirs = await region.patient('hospital-c');
    await region.link(patient, theirs, 'hospital-c');
    await region.db.query(sql`insert into patient_registration values ('hospital-a', ${theirs})`);
    const known = await region.study('hospital-c', theirs);
    const answer = await place(a, {
      input: [{ type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${known}` } }],
    });
    expect(answer.status).toBe(403);
    await nothing();
  });

  it.each([
    ['in another’s name', { requester: organization('hospital-b') }, 403],
    ['to oneself', { owner: organization('hospital-a') }, 422],
    ['to an organization that does not exist', { owner: organization('hospital-z') }, 422],
    ['already accepted', { status: 'accepted', businessStatus: businessStatus('accepted') }, 409],
    ['with a deadline that is past', { restriction: { period: { end: inDays(-1) } } }, 422],
    ['of an unknown kind', { code: kind('pizza') }, 422],
    ['with attachments that are no study', { input: [{ type: { text: 'x' }, valueReference: organization('hospital-b') }] }, 422],
  ])('%s', async (_, changes, status) => {
    expect((await place(a, changes)).status).toBe(status);
    await nothing();
  });

  it('about another hospital’s patient', async () => {
    const answer = await place(
      b,
      { requester: organization('hospital-b'), owner: organization('hospital-a') },
      { requester: organization('hospital-b'), performer: [organization('hospital-a')] },
    );
    expect(answer.status).toBe(422);
    await nothing();
  });

  it('when the audit can’t be written: nothing of it lands', async () => {
    const { append } = region.deps.audit;
    region.deps.audit.append = async () => {
      throw new Error('disk full');
    };
    await expect(place()).rejects.toThrow('disk full');
    region.deps.audit.append = append;
    await nothing();
  });
});
