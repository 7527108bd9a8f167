import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { createAutomaticScoring } from '../../../hub/scoring/automatic.js';
import { failedJobs } from '../../../hub/scoring/retry-job.js';
import { createResources, findResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { businessStatus, type Client, caller, kind, openRegion, organization, type Region } from '../referral/region.js';

let region: Region;
let a: Client;
let patient: string;
let study: string;

beforeAll(async () => {
  region = await openRegion();
  a = region.as(caller('hospital-a'));
});
afterAll(async () => {
  await region.audit.close();
  await region.close();
});
beforeEach(async () => {
  patient = await region.patient('hospital-a');
  study = await region.study('hospital-a', patient);
});

const task = (changes: object = {}): FhirResource => ({
  resourceType: 'Task',
  status: 'requested',
  intent: 'order',
  priority: 'urgent',
  code: kind('scoring-request'),
  focus: { reference: `ImagingStudy/${study}` },
  for: { reference: `Patient/${patient}` },
  requester: organization('hospital-a'),
  input: [{ type: { text: 'model' }, valueString: 'pulmonary-nodule' }],
  ...changes,
});

const jobs = (of = study) =>
  region.db.query<{ task_id: string; state: string; priority: number; focus_version: number }>(
    sql`select task_id, state, priority, focus_version from scoring_job where focus_id = ${of} order by created`,
  );

describe('a scoring request', () => {
  it('puts a job into the queue with the Task', async () => {
    const placed = await a.post(task());
    expect([placed.status, placed.body.businessStatus]).toEqual([201, businessStatus('requested')]);
    expect(await jobs()).toEqual([{ task_id: placed.body.id, state: 'queued', priority: 30, focus_version: 1 }]);
  });

  it('names its model where several are made for such a study, and is told which there are', async () => {
    const { status, body } = await a.post(task({ input: undefined }));
    expect([status, body.issue[0].diagnostics]).toEqual([422, expect.stringMatching(/covid-ct.*pulmonary-nodule/)]);
    expect(await jobs()).toEqual([]);
  });

  it('needs the right to score: knowing of a study is not enough, and an unknown one looks like none', async () => {
    const b = region.as(caller('hospital-b'));
    const by = { requester: organization('hospital-b') };
    const hidden = await b.post(task(by));
    const absent = await b.post(task({ ...by, focus: { reference: 'ImagingStudy/019a0000-0000-7000-8000-000000000000' } }));
    expect(hidden.status).toBe(422);
    expect(hidden.body.issue.map((i: { expression: string[] }) => i.expression[0])).toContain('Task.focus.reference');
    expect(absent.body.issue.find((i: { expression: string[] }) => i.expression[0] === 'Task.focus.reference')).toEqual(
      hidden.body.issue.find((i: { expression: string[] }) => i.expression[0] === 'Task.focus.reference'),
    );
    const theirs = await region.patient('hospital-b');
    await region.link(patient, theirs, 'hospital-b');
    const known = await b.post(task({ ...by, for: { reference: `Patient/${theirs}` } }));
    expect([known.status, known.body.issue[0].details.coding[0].code]).toEqual([403, 'no-basis']);
    expect(await jobs()).toEqual([]);
  });

  it.each([
    ['a model that is not there', { input: [{ type: { text: 'model' }, valueString: 'astrology' }] }, 422],
    ['another patient', { for: undefined }, 422],
    ['another organization’s name', { requester: organization('hospital-b') }, 403],
    ['a state that only the hub reaches', { status: 'completed' }, 409],
  ])('is refused with %s', async (_, changes, status) => {
    expect((await a.post(task(changes))).status).toBe(status);
    expect(await jobs()).toEqual([]);
  });

  it('is cancelled by its requester, once; the hub alone does anything else with it', async () => {
    const placed = (await a.post(task())).body;
    for (const status of ['completed', 'failed', 'in-progress']) expect((await a.put({ ...placed, status })).status).toBe(409);
    expect((await a.put({ ...placed, priority: 'stat' })).body.issue[0].expression).toEqual(['Task.priority']);
    expect((await a.put({ ...placed, output: [{ type: { text: 'x' }, valueString: 'x' }] })).body.issue[0].expression).toEqual([
      'Task.output',
    ]);
    const cancelled = await a.put({ ...placed, status: 'cancelled' });
    expect(cancelled.body).toMatchObject({ status: 'cancelled', businessStatus: businessStatus('cancelled') });
    expect(await jobs()).toMatchObject([{ state: 'cancelled' }]);
    expect((await a.put({ ...cancelled.body, status: 'requested' })).status).toBe(409);
  });
});

describe('a score that failed for good', () => {
  const failed = async () => {
    const placed = (await a.post(task())).body;
    await region.db.query(
      sql`update scoring_job set state = 'failed', attempts = 3, finished = now(), last_error = 'The images did not arrive in time.' where task_id = ${placed.id}`,
    );
    await region.db.query(sql`
      update resource set content = jsonb_set(content::jsonb, '{status}', '"failed"')::json where type = 'Task' and id = ${placed.id}`);
    return (await a.read(`Task/${placed.id}`)).body as FhirResource & { id: string };
  };

  it('is listed with its reason for its hospital alone, a page at a time', async () => {
    const first = await failed();
    const second = await failed();
    const newest = await failedJobs(region.db, { custodianId: 'hospital-a', count: 1 });
    expect(newest).toMatchObject([
      {
        taskId: second.id,
        model: 'pulmonary-nodule',
        focus: `ImagingStudy/${study}`,
        reason: 'The images did not arrive in time.',
      },
    ]);
    const [older] = await failedJobs(region.db, { custodianId: 'hospital-a', count: 1, after: newest[0]! });
    expect(older?.taskId).toBe(first.id);
    expect(await failedJobs(region.db, { custodianId: 'hospital-b', count: 10 })).toEqual([]);
  });

  it('is tried again by who may score it, as a new job; once', async () => {
    const one = await failed();
    const again = await a.put({ ...one, status: 'requested' });
    expect([again.status, again.body.businessStatus]).toEqual([200, businessStatus('requested')]);
    expect(await jobs()).toMatchObject([{ task_id: one.id, state: 'queued' }]);
    expect((await a.put({ ...again.body, status: 'requested', businessStatus: businessStatus('in-progress') })).status).toBe(409);
    const gone = await failed();
    await region.db.query(sql`delete from scoring_job where task_id = ${gone.id}`);
    expect((await a.put({ ...gone, status: 'requested' })).status).toBe(409);
  });
});

describe('scoring by rule', () => {
  const optIn = (models: unknown) =>
    region.db.query(sql`
      insert into connector (id, organization_id, kind, settings) values ('c', 'hospital-a', 'folder', ${JSON.stringify({ autoScore: models })})
      on conflict (id) do update set settings = excluded.settings`);
  const schedule = async (version?: number) => {
    const row = (await findResource(region.db, 'ImagingStudy', study))!;
    const automatic = createAutomaticScoring(region.models, region.audit);
    return region.db.transaction((tx) => automatic(tx, { studyRow: { ...row, ...(version ? { version } : {}) } }));
  };

  it('happens only where the custodian has opted in', async () => {
    await optIn([]);
    expect(await schedule()).toBe(0);
    await optIn('pulmonary-nodule');
    expect(await schedule()).toBe(0);
    await optIn(['pulmonary-nodule']);
    expect(await schedule()).toBe(1);
  });

  it('follows rules: what a rule is limited by must be stated, and an unknown rule opens nothing', async () => {
    const rule = { model: 'pulmonary-nodule', modality: ['CT'], bodySite: ['51185008'], description: 'LUNG' };
    for (const wrong of [
      { ...rule, description: 'head' },
      { ...rule, bodySite: ['69536005'] },
      { ...rule, modality: ['MR'] },
      { ...rule, when: 'always' },
    ]) {
      await optIn([wrong]);
      expect(await schedule()).toBe(0);
    }
    await region.db.query(sql`
      update resource set content = jsonb_set(content::jsonb, '{series,0,description}', '"Axial lung window"')::json where id = ${study}`);
    await optIn([rule]);
    expect(await schedule()).toBe(1);
  });

  it('is as urgent as the most urgent rule, or as the hospital’s own order of the study, and never less', async () => {
    await optIn(['pulmonary-nodule', { model: 'pulmonary-nodule', priority: 'urgent' }]);
    const order = (hospital: string, changes: object) =>
      region.db.transaction((tx) =>
        createResources(tx, [
          {
            resource: {
              resourceType: 'ServiceRequest',
              status: 'active',
              intent: 'order',
              subject: { reference: `Patient/${patient}` },
              identifier: [{ type: { coding: [{ system: systems.identifierType, code: 'ACSN' }] }, value: 'A77' }],
              ...changes,
            },
            custodianId: hospital,
          },
        ]),
      );
    await order('hospital-b', { priority: 'stat' });
    await order('hospital-a', { priority: 'stat', status: 'revoked' });
    await order('hospital-a', { priority: 'stat', identifier: [] });
    await region.db.query(sql`
      update resource set content = jsonb_set(content::jsonb, '{identifier,1}', ${JSON.stringify({ type: { coding: [{ system: systems.identifierType, code: 'ACSN' }] }, value: 'A77' })}::jsonb)::json where id = ${study}`);
    await schedule();
    expect(await jobs()).toMatchObject([{ priority: 30 }]);
    await order('hospital-a', { priority: 'asap' });
    await schedule(2);
    expect(await jobs()).toMatchObject([{ priority: 20, focus_version: 2 }]);
    await order('hospital-a', { priority: 'routine' });
    await schedule(3);
    expect(await jobs()).toMatchObject([{ priority: 20, focus_version: 3 }]);
    const placed = await a.post(task({ priority: undefined }));
    expect(placed.body.priority).toBe('asap');
  });

  it('happens once for each version; a job that waits takes the newer one on', async () => {
    await optIn(['pulmonary-nodule']);
    expect([await schedule(1), await schedule(1), await schedule(2)]).toEqual([1, 0, 0]);
    expect(await jobs()).toMatchObject([{ state: 'queued', focus_version: 2 }]);
    await region.db.query(sql`update scoring_job set state = 'done', attempts = 1 where focus_id = ${study}`);
    expect([await schedule(2), await schedule(3)]).toEqual([0, 1]);
    expect(await jobs()).toHaveLength(2);
    const [, second] = await jobs();
    expect((await a.read(`Task/${second!.task_id}`)).body.requester).toEqual(organization('hospital-a'));
  });
});
