import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { validateResource } from '../../../fhir-profiles/index.js';
import { failedDeliveries, retryFailedDelivery } from '../../../hub/delivery/failed-deliveries.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { listHospitals } from '../../../hub/ingest/hospital-state.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { element, item } from '../../connectors/support/data-sets.js';
import { type FaultyLine, startFaultyLine } from '../../support/faulty-line.js';
import { A, B, C, counts, ctStudy, type Hospitals, objectUid, outputOf, startHospitals, studyUid, until } from './hospitals.js';

const run = promisify(execFile);
/** More than one request to store holds. */
const MANY = 80;
/** Larger objects are not delivered. */
const MOST_BYTES = 2 ** 20;

let at: Hospitals;
let physician: string;
let stranger: string;
const known: string[] = [];

beforeAll(async () => {
  at = await startHospitals(() => known, { deliveryObjectBytes: MOST_BYTES });
  await at.hub.enrol(
    { username: 'li.wei', role: 'physician', organizationId: B.id },
    { username: 'ma.chao', role: 'physician', organizationId: C.id },
    { username: 'administrator', role: 'hospital-administrator', organizationId: B.id },
    { username: 'auditor', role: 'auditor', organizationId: 'commission' },
  );
  physician = await at.hub.person('li.wei');
  stranger = await at.hub.person('ma.chao');
});
afterAll(() => at?.stop());
beforeEach(() => {
  at.proxy.beforeStore = async () => undefined;
  at.proxy.losesAnswer = () => false;
  at.proxy.acknowledged.length = 0;
});

/** A study at A of a person who is also registered at B. */
async function examined(study: number, objects: number) {
  known.push(...Array.from({ length: objects }, (_, i) => objectUid(study, i)));
  const person = await at.person(`A-${study}`, `B-${study}`, study);
  return { ...person, study: await at.archive(ctStudy(study, `A-${study}`, objects), studyUid(study)) };
}

async function place(study: FhirResource, patient: FhirResource, more: object = {}): Promise<FhirResource> {
  const { status, body } = await at.call(physician, 'post', '/fhir/Task', at.request(study, patient, more));
  expect([status, body.issue]).toEqual([201, undefined]);
  return body;
}

const consent = (patient: FhirResource, type: 'deny' | 'permit') => ({
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
  category: [{ coding: [{ system: systems.loinc, code: '59284-0' }] }],
  patient: { reference: `Patient/${patient.id}` },
  dateTime: '2026-01-01',
  policy: [{ uri: 'https://federation-hub.example/policies/opt-in' }],
  provision: { type },
});

async function deny(patient: FhirResource): Promise<FhirResource> {
  const { status, body } = await at.call(await at.hub.system(A.id), 'post', '/fhir/Consent', consent(patient, 'deny'));
  expect([status, body.issue]).toEqual([201, undefined]);
  return body;
}

const withdraw = async (given: FhirResource) =>
  expect(
    (await at.call(await at.hub.system(A.id), 'put', `/fhir/Consent/${given.id}`, { ...given, status: 'inactive' })).status,
  ).toBe(200);

/** The Task at its end, without the pauses between two tries. */
const ended = (task: FhirResource): Promise<FhirResource> =>
  until(async () => {
    await at.hub.db.pool.query('update delivery_job set run_after = now() where task_id = $1', [task.id]);
    const { body } = await at.call(physician, 'get', `/fhir/Task/${task.id}`);
    return ['completed', 'failed'].includes(body.status) && body;
  });

const entriesOf = async (task: FhirResource) =>
  (
    await at.hub.db.pool.query(
      "select type, subtype, action, outcome, purpose, agent, organization_id, custodian_id, basis, rule, evidence, detail from audit_event where type = 'export' and $1 = any(entity) order by recorded, id",
      [`Task/${task.id}`],
    )
  ).rows;

/** An object of a study as the receiving archive says it. */
async function originals(study: number) {
  const reply = await fetch(`${at.receiving.dicomwebUrl}/studies/${studyUid(study)}/metadata`);
  const [json] = (await reply.json()) as FhirResource[];
  const value = (of: FhirResource | undefined, tag: string) => of?.[tag]?.Value?.[0];
  const change = value(json, '04000561');
  const before = value(change, '04000550');
  return {
    patientId: value(json, '00100020'),
    issuer: value(json, '00100021'),
    name: value(json, '00100010'),
    description: value(json, '00081030'),
    otherIds: (json?.['00101002']?.Value ?? []).map((one: FhirResource) => value(one, '00100020')),
    originalAccession: value(before, '00080050'),
    originalName: value(before, '00100010'),
    source: value(change, '04000564'),
  };
}

describe('a foreign study', () => {
  it('is delivered to the physician’s own PACS, and found there under his own hospital’s number', async () => {
    const { study, b } = await examined(1, 12);
    const found = await at.call(physician, 'get', `/fhir/ImagingStudy?patient=${b.id}`);
    expect(found.body.entry[0].resource.id).toBe(study.id);
    const task = await place(study, b, {
      requester: { reference: `Organization/${B.id}` },
      input: [
        {
          type: { coding: [{ system: systems.deliveryDetail, code: 'accession-number' }] },
          valueIdentifier: { system: 'urn:oid:1.2.826.0.1.3680043.10.1451.32.8', value: 'B-ACC-7' },
        },
      ],
    });
    const done = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect([done.status, counts(done)]).toEqual([
      'completed',
      { 'instances-total': 12, 'instances-delivered': 12, 'instances-failed': 0 },
    ]);
    expect(validateResource(done).filter((i) => i.severity === 'error')).toEqual([]);
    expect(await at.received(studyUid(1))).toEqual(Array.from({ length: 12 }, (_, i) => objectUid(1, i)).sort());
    const { stdout, stderr } = await run('findscu', [
      ...[
        '-S',
        '-k',
        'QueryRetrieveLevel=STUDY',
        '-k',
        'PatientID=B-1',
        '-k',
        'StudyInstanceUID',
        '-k',
        'PatientName',
        '-k',
        'AccessionNumber',
      ],
      ...['127.0.0.1', String(at.receiving.dicomPort)],
    ]);
    expect(stdout + stderr).toContain(studyUid(1));
    expect(stdout + stderr).toContain('B-ACC-7');
    const object = await originals(1);
    expect(object).toMatchObject({
      patientId: 'B-1',
      issuer: B.assigner,
      otherIds: ['A-1'],
      originalAccession: 'A-ACC-1',
      originalName: { Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小东' },
      name: { Alphabetic: 'Wang^Xiaodong', Ideographic: '王^小东' },
      description: '胸部平扫',
      source: A.id,
    });
  });

  it('leaves the object as it was at the custodian, pixels as they were at the recipient', async () => {
    const path = `/studies/${studyUid(1)}/series/${studyUid(1)}.1/instances/${objectUid(1, 1)}`;
    const object = async (url: string) => {
      const reply = await fetch(`${url}${path}`, { headers: { accept: 'multipart/related; type="application/dicom"' } });
      return Buffer.from(await reply.arrayBuffer());
    };
    const [given, received] = [await object(at.giving.dicomwebUrl), await object(at.receiving.dicomwebUrl)];
    expect([given, received].map((bytes) => bytes.includes(Buffer.alloc(512, 1)))).toEqual([true, true]);
    expect([given, received].map((bytes) => bytes.includes('A-1 '))).toEqual([true, true]);
    expect([given, received].map((bytes) => bytes.includes('B-1 '))).toEqual([false, true]);
  });

  it('is on record as a disclosure, with basis and purpose, before it leaves; the patient sees it', async () => {
    const { body } = await at.call(physician, 'get', `/fhir/Task?patient=${(await at.person('A-1', 'B-1', 1)).b.id}`);
    const task = body.entry[0].resource;
    const entries = await entriesOf(task);
    expect(entries.map((e) => [e.subtype, e.action, e.outcome])).toEqual([
      ['delivery-request', 'C', 0],
      ['deliver', 'R', 0],
      ['delivered', 'C', 0],
    ]);
    expect(entries[1]).toMatchObject({
      action: 'R',
      purpose: 'TREAT',
      agent: 'Practitioner/li.wei',
      organization_id: B.id,
      custodian_id: A.id,
      basis: 'consortium',
      rule: 'consortium-care',
    });
    const events = await at.call(await at.hub.person('auditor'), 'get', '/fhir/AuditEvent?subtype=disclose&_count=50');
    const event = events.body.entry
      .map((e: FhirResource) => e.resource)
      .find((e: FhirResource) => JSON.stringify(e).includes(`Task/${task.id}`));
    expect(event.meta.profile).toEqual([expect.stringContaining('IHE.BasicAudit.PrivacyDisclosure.Source')]);
    expect(event.text.div).toContain('had sent to the archive of that hospital a copy of an imaging study');
  });
});

/** A restore to a moment before the deliveries of a study: nothing of them is on record. */
async function forgetDeliveries(study: number): Promise<void> {
  const tasks = '(select task_id from delivery_job where study_instance_uid = $1)';
  for (const table of ['delivered_copy', 'delivery_instance', 'delivery_job'])
    await at.hub.db.pool.query(`delete from ${table} where task_id in ${tasks}`, [studyUid(study)]);
  await at.hub.db.pool.query('delete from found_copy where study_instance_uid = $1', [studyUid(study)]);
}

/** Has hospital B's archive read again from the beginning, to its end. */
async function readAgain(): Promise<void> {
  await at.hub.db.pool.query(
    'update connector set cursor = null, reset = reset + 1, last_success = null where organization_id = $1',
    [B.id],
  );
  await at.hub.hub.sources.idle();
}

/** What is indexed of a study, by custodian. */
const heldOf = async (study: number) =>
  (
    await at.hub.db.pool.query(
      'select custodian_id, count(*)::int as n from imaging_instance where study_instance_uid = $1 group by 1 order by 1',
      [studyUid(study)],
    )
  ).rows.map(({ custodian_id, n }) => [custodian_id, n]);

describe('a copy', () => {
  it('does not become the recipient’s own, nor goes out with what the recipient adds to it', async () => {
    const own = { '00080018': `${studyUid(1)}.9`, '0020000E': `${studyUid(1)}.8` };
    const [addition] = ctStudy(1, 'B-1', 1, { '00080018': ['UI', own['00080018']], '0020000E': ['UI', own['0020000E']] });
    await fetch(`${at.receiving.orthancUrl}/instances`, { method: 'POST', body: addition as never });
    const indexed = await until(async () => {
      const { rows } = await at.hub.db.pool.query(
        'select sop_instance_uid as uid from imaging_instance where custodian_id = $1',
        [B.id],
      );
      return rows.length > 0 && rows;
    });
    expect(indexed).toEqual([{ uid: own['00080018'] }]);
    const system = await at.hub.system(B.id);
    const retrieve = async (path: string) =>
      (
        await fetch(`${at.hub.url}/dicomweb/studies/${studyUid(1)}${path}?custodian=${B.id}`, {
          headers: { authorization: `Bearer ${system}` },
        })
      ).status;
    expect(await retrieve('')).toBe(403);
    expect(await retrieve(`/series/${own['0020000E']}/instances/${own['00080018']}`)).toBe(200);

    await forgetDeliveries(1);
    await readAgain();
    expect(await heldOf(1)).toEqual([
      [A.id, 12],
      [B.id, 1],
    ]);
    expect(await retrieve('')).toBe(403);
    const [hospital] = await listHospitals(at.hub.db, B.id);
    expect(hospital?.foundCopies).toBe(12);
  });

  it('of which the acknowledgement was lost, and whose delivery was cancelled then, stays the custodian’s, and is to be removed', async () => {
    const { study, a, b } = await examined(10, 10);
    at.proxy.losesAnswer = () => true;
    const task = await place(study, b);
    await until(async () => (await at.received(studyUid(10))).length === 10);
    const waiting = await until(async () => {
      const { rows } = await at.hub.db.pool.query(
        "select 1 from delivery_job where task_id = $1 and state = 'queued' and attempts > 0",
        [task.id],
      );
      return rows.length > 0 && (await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body;
    });
    expect((await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...waiting, status: 'cancelled' })).status).toBe(200);
    await readAgain();
    expect(await heldOf(10)).toEqual([[A.id, 10]]);
    const given = await deny(a);
    const told = await until(async () => {
      const { body } = await at.call(physician, 'get', `/fhir/Task/${task.id}`);
      return outputOf(body, 'copy-to-be-removed');
    });
    expect(told.valueDateTime).toBeDefined();
    await withdraw(given);
  });
});

it('a copy that the archive kept while it answered three times that it failed, is to be removed when its basis ends', async () => {
  const { study, a, b } = await examined(41, 1);
  at.proxy.losesAnswer = () => 500;
  const task = await place(study, b);
  expect((await ended(task)).statusReason.text).toBe('1 of 1 objects could not be delivered.');
  expect(await at.received(studyUid(41))).toEqual([objectUid(41, 0)]);
  const given = await deny(a);
  await until(async () => {
    const { body } = await at.call(physician, 'get', `/fhir/Task/${task.id}`);
    return outputOf(body, 'copy-to-be-removed');
  });
  await withdraw(given);
});

it('a copy that comes back to its custodian is compared with the original, which stays', async () => {
  const lookup = await fetch(`${at.receiving.orthancUrl}/tools/lookup`, { method: 'POST', body: objectUid(1, 1) });
  const [{ Path }] = (await lookup.json()) as [{ Path: string }];
  const copy = Buffer.from(await (await fetch(`${at.receiving.orthancUrl}${Path}/file`)).arrayBuffer());
  const original = await fetch(`${at.giving.orthancUrl}/tools/lookup`, { method: 'POST', body: objectUid(1, 1) });
  const [place] = (await original.json()) as [{ Path: string }];
  await fetch(`${at.giving.orthancUrl}${place.Path}`, { method: 'DELETE' });
  expect((await fetch(`${at.giving.orthancUrl}/instances`, { method: 'POST', body: copy as never })).status).toBe(200);
  await until(async () => {
    const { rows } = await at.hub.db.pool.query(
      'select reason from quarantine where custodian_id = $1 and study_instance_uid = $2',
      [A.id, studyUid(1)],
    );
    return rows.length > 0;
  });
  await at.hub.hub.sources.idle();
  expect(await heldOf(1)).toEqual([
    [A.id, 12],
    [B.id, 1],
  ]);
});

describe('a request is refused', () => {
  it('where policy lets the physician not retrieve the study, with the reason class; a stranger learns nothing', async () => {
    const { study, a, b } = await examined(2, 2);
    const given = await deny(a);
    const refused = await at.call(physician, 'post', '/fhir/Task', at.request(study, b));
    expect([refused.status, refused.body.issue[0].details.coding[0].code]).toEqual([403, 'consent']);
    await withdraw(given);
    const strange = at.request(study, b, { requester: { reference: `Organization/${C.id}` } });
    expect((await at.call(stranger, 'post', '/fhir/Task', strange)).status).toBe(422);
    const none = await at.call(stranger, 'post', '/fhir/Task', { ...strange, focus: { reference: 'ImagingStudy/none' } });
    expect(none.status).toBe(422);
    expect(await at.received(studyUid(2))).toEqual([]);
  });

  it('where nothing tells under which number it would be filed, or where, or for whom', async () => {
    const { study, b } = await examined(3, 2);
    const other = await at.person('A-other', 'B-other', 900);
    const of = async (task: FhirResource, token = physician) => {
      const { status, body } = await at.call(token, 'post', '/fhir/Task', task);
      return [status, body.issue?.[0]?.expression?.[0] ?? body.issue?.[0]?.diagnostics];
    };
    expect(await of(at.request(study, other.b))).toEqual([422, 'Task.for']);
    const own = { coding: [{ system: systems.deliveryDetail, code: 'series' }] };
    const uid = (value: string) => ({ type: own, valueIdentifier: { system: systems.dicomUid, value } });
    expect(await of(at.request(study, b, { input: [uid('urn:oid:1.2.3')] }))).toEqual([422, 'Task.input']);
    expect(await of(at.request(study, b, { input: [uid('no uid')] }))).toEqual([422, 'Task.input[0]']);
    expect(await of(at.request(study, b, { requester: { reference: `Organization/${A.id}` } }))).toEqual([
      403,
      expect.any(String),
    ]);
    expect(await of(at.request(study, b, { status: 'completed' }))).toEqual([409, 'Task.status']);
    expect(
      await of(at.request(study, b, { requester: { reference: `Organization/${A.id}` } }), await at.hub.system(A.id)),
    ).toEqual([422, 'Task.focus']);
    const administrator = await at.hub.person('administrator');
    expect(await of(at.request(study, b), administrator)).toEqual([422, 'Task.focus.reference']);
  });

  it('while the study is on its way already', async () => {
    const { study, b } = await examined(4, 2);
    await at.receiving.kill();
    const task = await place(study, b);
    const again = await at.call(physician, 'post', '/fhir/Task', at.request(study, b));
    expect([again.status, again.body.issue[0].diagnostics]).toEqual([409, expect.stringContaining(`Task/${task.id}`)]);
    const cancelled = await at.call(physician, 'put', `/fhir/Task/${task.id}`, {
      ...(await at.taskAs(physician, task.id!, 'requested', 'in-progress')),
      status: 'cancelled',
    });
    await at.receiving.restart();
    expect([cancelled.status, cancelled.body.status]).toEqual([200, 'cancelled']);
  });
});

describe('a delivery', () => {
  it('waits for an archive that is down, and comes to its end when it is back', async () => {
    const { study, b } = await examined(5, 5);
    await at.receiving.kill();
    const task = await place(study, b);
    await until(async () => {
      const [job] = (await at.hub.db.pool.query('select last_error from delivery_job where task_id = $1', [task.id])).rows;
      return job?.last_error?.startsWith('unreachable');
    });
    expect((await entriesOf(task)).some((e) => e.subtype === 'deliver')).toBe(false);
    await at.receiving.restart();
    // an archive that has failed repeatedly is left alone for a while; with other settings it is another one
    await at.hub.db.pool.query("update connector set settings = settings || '{\"maxConcurrent\": 5}' where id = 'b.pacs'");
    expect((await ended(task)).status).toBe('completed');
    expect(await at.received(studyUid(5))).toHaveLength(5);
  });

  it('stops when the patient takes her consent back in the middle: no more leaves, and the copy is to be removed; later it goes on where it was', async () => {
    const { study, a, b } = await examined(6, MANY);
    let given: FhirResource | undefined;
    at.proxy.beforeStore = async () => {
      given ??= await deny(a);
    };
    const task = await place(study, b);
    const failed = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect(failed.statusReason.text).toBe('The study may not be retrieved by you (consent).');
    expect(counts(failed)).toEqual({ 'instances-total': MANY, 'instances-delivered': 64, 'instances-failed': 0 });
    expect(await at.received(studyUid(6))).toHaveLength(64);
    expect((await entriesOf(task)).at(-1)).toMatchObject({
      subtype: 'deliver',
      outcome: 4,
      detail: 'consent',
      rule: 'consent-denied',
    });

    const system = await at.hub.system(B.id);
    const notice = await until(async () => {
      const { body } = await at.call(system, 'get', '/notices');
      return body.notices.find(
        (n: FhirResource) => n.topic === 'delivery.copy-to-be-removed' && n.about.task === `Task/${task.id}`,
      );
    });
    expect(notice.about).toMatchObject({ study: `ImagingStudy/${study.id}`, patient: `Patient/${b.id}`, reason: 'consent' });
    const marked = (await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body;
    expect(outputOf(marked, 'copy-to-be-removed')?.valueDateTime).toMatch(/^20/);
    expect(validateResource(marked).filter((i) => i.severity === 'error')).toEqual([]);

    const still = await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...marked, status: 'requested' });
    expect(still.status).toBe(403);
    await withdraw(given!);
    at.proxy.beforeStore = async () => undefined;
    const sent = at.proxy.acknowledged.flat();
    at.proxy.acknowledged.length = 0;
    const again = await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...marked, status: 'requested' });
    expect([again.status, again.body.statusReason]).toEqual([200, undefined]);
    const done = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect(counts(done)).toEqual({ 'instances-total': MANY, 'instances-delivered': MANY, 'instances-failed': 0 });
    const rest = at.proxy.acknowledged.flat();
    expect([sent.length, rest.length, new Set([...sent, ...rest]).size]).toEqual([64, MANY - 64, MANY]);
  });

  it('that is cancelled stops', async () => {
    const objects = 2 * 64 + 2;
    const { study, b } = await examined(7, objects);
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let waiting = false;
    at.proxy.beforeStore = async () => {
      if (at.proxy.acknowledged.length === 0) return;
      waiting = true;
      await held;
    };
    const task = await place(study, b);
    await until(async () => waiting);
    const running = (await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body;
    const cancelled = await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...running, status: 'cancelled' });
    expect([cancelled.status, cancelled.body.businessStatus.coding[0].code]).toEqual([200, 'cancelled']);
    letGo();
    await until(async () => (await at.received(studyUid(7))).length === 2 * 64);
    const delivered = async () => counts((await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body)['instances-delivered'];
    await until(async () => (await delivered()) === 2 * 64);
    expect((await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body.status).toBe('cancelled');
    const now = (await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body;
    const back = await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...now, status: 'requested' });
    expect([back.status, back.body.issue[0].diagnostics]).toEqual([409, expect.stringContaining('cancelled does not become')]);
  });

  it('gives up the objects that its archive has under another patient’s number, and says which', async () => {
    const person = await at.person('A-8', 'B-8', 8);
    known.push(objectUid(8, 0), objectUid(8, 1), objectUid(8, 2));
    const study = await at.archive(ctStudy(8, 'A-8', 3), studyUid(8));
    const [moved] = ctStudy(8, 'A-99', 1);
    const reply = await fetch(`${at.giving.orthancUrl}/instances`);
    const ids = (await reply.json()) as string[];
    for (const id of ids) {
      const uid = await (await fetch(`${at.giving.orthancUrl}/instances/${id}/content/0008-0018`)).text();
      if (uid.replace(/\0/g, '') === objectUid(8, 0))
        await fetch(`${at.giving.orthancUrl}/instances/${id}`, { method: 'DELETE' });
    }
    await fetch(`${at.giving.orthancUrl}/instances`, { method: 'POST', body: moved as never });
    const task = await place(study, person.b);
    const failed = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect(failed.statusReason.text).toBe('1 of 3 objects could not be delivered.');
    expect(outputOf(failed, 'failed-instance')?.valueString).toContain(objectUid(8, 0));
    expect(await at.received(studyUid(8))).toEqual([objectUid(8, 1), objectUid(8, 2)]);
  });

  it('gives up an object that is larger than is held, and says which', async () => {
    const { b } = await at.person('A-11', 'B-11', 11);
    const [first, second] = ctStudy(11, 'A-11', 2);
    const [, , large] = ctStudy(11, 'A-11', 3, { '00420011': ['OB', Buffer.alloc(MOST_BYTES)] });
    const more = ctStudy(11, 'A-11', 12).slice(3);
    const study = await at.archive([first!, large!, second!, ...more], studyUid(11));
    const task = await place(study, b);
    const failed = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect(counts(failed)).toEqual({ 'instances-total': 12, 'instances-delivered': 11, 'instances-failed': 1 });
    expect(outputOf(failed, 'failed-instance')?.valueString).toBe(
      `${objectUid(11, 2)}: The object is larger than 1 MiB, the most that is delivered.`,
    );
  });

  it('is seen by the custodian, who is a party, and by no stranger', async () => {
    const { body } = await at.call(await at.hub.system(A.id), 'get', '/fhir/Task?_count=50');
    expect(body.entry.length).toBeGreaterThan(4);
    const [{ resource: task }] = body.entry;
    expect((await at.call(stranger, 'get', `/fhir/Task/${task.id}`)).status).toBe(404);
  });
});

describe('an archive that speaks DIMSE alone', () => {
  let line: FaultyLine;
  beforeAll(async () => {
    line = await startFaultyLine(at.receiving.dicomPort);
    const settings = {
      host: '127.0.0.1',
      port: line.port,
      calledAeTitle: 'ORTHANC',
      timeouts: { idleMs: 2_000, responseMs: 2_000 },
    };
    await addSource(at.hub.db, { id: 'b.pacs', organizationId: B.id, kind: 'dimse', settings, store: true });
    await at.hub.hub.sources.idle();
  });
  afterAll(() => line?.stop());
  const delivered = async (task: FhirResource) =>
    counts((await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body)['instances-delivered'] ?? 0;
  const onRecord = async (task: FhirResource): Promise<number> =>
    (
      await at.hub.db.pool.query("select count(*)::int as n from delivery_instance where task_id = $1 and state = 'delivered'", [
        task.id,
      ])
    ).rows[0].n;

  it('has the study by C-STORE, reconciled and audited as by STOW-RS; the copy is listed there and is not its own', async () => {
    const { study, b } = await examined(20, 12);
    const task = await place(study, b);
    const done = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect([done.status, counts(done)]).toEqual([
      'completed',
      { 'instances-total': 12, 'instances-delivered': 12, 'instances-failed': 0 },
    ]);
    expect(await at.received(studyUid(20))).toHaveLength(12);
    expect(await originals(20)).toMatchObject({
      patientId: 'B-20',
      otherIds: ['A-20'],
      originalAccession: 'A-ACC-20',
      originalName: { Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小东' },
      description: '胸部平扫',
      source: A.id,
    });
    expect((await entriesOf(task)).map((e) => [e.subtype, e.outcome, e.basis])).toEqual([
      ['delivery-request', 0, null],
      ['deliver', 0, 'consortium'],
      ['delivered', 0, null],
    ]);
    await at.hub.hub.sources.idle();
    const { rows } = await at.hub.db.pool.query('select custodian_id from study_claim where study_instance_uid = $1', [
      studyUid(20),
    ]);
    expect(rows).toEqual([{ custodian_id: A.id }]);
  });

  it('whose line is cut, that is killed, and comes back, has the rest; nothing is asked for anew', async () => {
    const { study, b } = await examined(21, MANY);
    line.set('meters');
    const task = await place(study, b);
    await until(async () => {
      if ((await onRecord(task)) >= 10) return true;
      line.allow(2_000);
      return false;
    });
    line.set('cuts');
    const before = await onRecord(task);
    expect(before).toBeLessThan(MANY);
    await at.receiving.kill();
    await until(async () => {
      const [job] = (await at.hub.db.pool.query('select last_error from delivery_job where task_id = $1', [task.id])).rows;
      return job?.last_error?.startsWith('unreachable');
    });
    await until(async () => (await delivered(task)) >= before);
    await at.receiving.restart();
    line.set('passes');
    const done = await ended(task);
    expect([done.status, counts(done)]).toEqual([
      'completed',
      { 'instances-total': MANY, 'instances-delivered': MANY, 'instances-failed': 0 },
    ]);
    expect(await at.received(studyUid(21))).toHaveLength(MANY);
  });

  const custodiansOf = async (uid: string): Promise<string[]> =>
    (
      await at.hub.db.pool.query('select custodian_id as id from study_claim where study_instance_uid = $1 order by 1', [uid])
    ).rows.map((row) => row.id);

  it('that may have objects of which nothing is on record does not make them its own', async () => {
    const { rows } = await at.hub.db.pool.query('select task_id from delivery_job where study_instance_uid = $1', [studyUid(20)]);
    await at.hub.db.pool.query("update delivery_instance set state = 'failed' where task_id = $1", [rows[0].task_id]);
    await at.hub.db.pool.query("update delivery_job set state = 'cancelled' where task_id = $1", [rows[0].task_id]);
    await at.hub.hub.sources.reindex('b.pacs');
    await at.hub.hub.sources.idle();
    expect(await custodiansOf(studyUid(20))).toEqual([A.id]);
  });

  it('that changes what it stores has it all the same', async () => {
    const { study, b } = await examined(23, 3);
    await place(study, b).then((task) => at.taskAs(physician, task.id!, 'completed'));
    const path = '/instances';
    const ids = (await (
      await fetch(`${at.receiving.orthancUrl}/tools/lookup`, { method: 'POST', body: objectUid(23, 0) })
    ).json()) as {
      Path: string;
    }[];
    const kept = Buffer.from(await (await fetch(`${at.receiving.orthancUrl}${ids[0]!.Path}/file`)).arrayBuffer());
    await fetch(`${at.receiving.orthancUrl}${ids[0]!.Path}`, { method: 'DELETE' });
    const description = kept.indexOf(Buffer.from('CHEST'));
    kept.write('ABDOM', description, 'latin1');
    expect((await fetch(`${at.receiving.orthancUrl}${path}`, { method: 'POST', body: kept as never })).status).toBe(200);
    const { rows } = await at.hub.db.pool.query('select task_id from delivery_job where study_instance_uid = $1', [studyUid(23)]);
    await at.hub.db.pool.query("update delivery_instance set state = 'pending', attempts = 0 where task_id = $1", [
      rows[0].task_id,
    ]);
    await at.hub.db.pool.query(
      "update delivery_job set state = 'queued', run_after = now(), lease_owner = null, lease_until = null where task_id = $1",
      [rows[0].task_id],
    );
    await at.hub.db.pool.query(
      "update resource set content = jsonb_set(content::jsonb, '{status}', '\"requested\"')::json where type = 'Task' and id = $1",
      [rows[0].task_id],
    );
    const done = await at.taskAs(physician, rows[0].task_id, 'completed', 'failed');
    expect([done.status, counts(done)['instances-delivered']]).toEqual(['completed', 3]);
  });

  it('that holds an object of its own under one of the UIDs keeps it, and the delivery says which; it stays its own', async () => {
    const { study, b } = await examined(22, 4);
    const [own] = ctStudy(22, 'B-22', 1, { '00081030': ['LO', 'its own'] });
    await fetch(`${at.receiving.orthancUrl}/instances`, { method: 'POST', body: own as never });
    await at.hub.hub.sources.reindex('b.pacs');
    await at.hub.hub.sources.idle();
    expect(await custodiansOf(studyUid(22))).toEqual([A.id, B.id]);
    const task = await place(study, b);
    const failed = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect([failed.status, failed.statusReason.text]).toEqual(['failed', '1 of 4 objects could not be delivered.']);
    expect(outputOf(failed, 'failed-instance')?.valueString).toBe(
      `${objectUid(22, 0)}: The PACS holds another object with this SOP Instance UID.`,
    );
    expect(await at.received(studyUid(22))).toHaveLength(4);
    await at.hub.hub.sources.reindex('b.pacs');
    await at.hub.hub.sources.idle();
    const { rows } = await at.hub.db.pool.query(
      'select sop_instance_uid as uid from imaging_instance where custodian_id = $1 and study_instance_uid = $2',
      [B.id, studyUid(22)],
    );
    expect(rows).toEqual([{ uid: objectUid(22, 0) }]);

    const [listed] = await failedDeliveries(at.hub.db, { recipientId: B.id, count: 1 });
    expect(listed).toMatchObject({ taskId: task.id, custodian: A.id, missing: 1, total: 4, reason: failed.statusReason.text });
    expect(await failedDeliveries(at.hub.db, { recipientId: C.id, count: 1 })).toEqual([]);
    const lookup = await fetch(`${at.receiving.orthancUrl}/tools/lookup`, { method: 'POST', body: objectUid(22, 0) });
    const [{ Path }] = (await lookup.json()) as [{ Path: string }];
    await fetch(`${at.receiving.orthancUrl}${Path}`, { method: 'DELETE' });
    expect(await at.hub.db.transaction((tx) => retryFailedDelivery(tx, task.id!))).toBeDefined();
    expect(await at.hub.db.transaction((tx) => retryFailedDelivery(tx, task.id!))).toBeUndefined();
    const done = await at.taskAs(physician, task.id!, 'completed', 'failed');
    expect([done.status, counts(done)['instances-delivered']]).toEqual(['completed', 4]);
  });

  it('has copies that are known by their mark when no delivery is on record, also of a study that nobody else has yet', async () => {
    await forgetDeliveries(20);
    const mark = Buffer.concat([
      element('04000563', 'LO', Buffer.from('federation-hub')),
      element('04000564', 'LO', Buffer.from(A.id)),
    ]);
    const marked = ctStudy(30, 'B-30', 4, { '04000561': ['SQ', item(mark)] });
    for (const body of [...marked, ...ctStudy(31, 'B-31', 2)])
      await fetch(`${at.receiving.orthancUrl}/instances`, { method: 'POST', body: body as never });
    await readAgain();
    expect([await heldOf(20), await heldOf(30), await heldOf(31)]).toEqual([[[A.id, 12]], [], [[B.id, 2]]]);
  });

  it('and keeps no deliveries is asked again for what it only listed, once the hospital that has the study does', async () => {
    const settings = { host: '127.0.0.1', port: at.receiving.dicomPort, calledAeTitle: 'ORTHANC' };
    await addSource(at.hub.db, { id: 'c.pacs', organizationId: C.id, kind: 'dimse', settings });
    await at.hub.hub.sources.idle();
    expect(await heldOf(30)).toEqual([[C.id, 4]]);
    await at.archive(ctStudy(30, 'A-30', 4), studyUid(30));
    await until(async () => (await heldOf(30)).length === 1);
    expect(await heldOf(30)).toEqual([[A.id, 4]]);
    expect((await heldOf(20)).length).toBe(1);
    const { body } = await at.call(await at.hub.system(C.id), 'get', `/fhir/ImagingStudy?identifier=urn:oid:${studyUid(30)}`);
    expect(body.entry ?? []).toEqual([]);
  });

  it('has a study on a CD as its own, of which a delivery was planned and nothing left', async () => {
    const { study, b } = await examined(40, 2);
    await at.giving.kill();
    const task = await place(study, b);
    const waiting = await until(async () => {
      const { rows } = await at.hub.db.pool.query(
        "select 1 from delivery_instance join delivery_job j using (task_id) where task_id = $1 and j.state = 'queued'",
        [task.id],
      );
      return rows.length === 2 && (await at.call(physician, 'get', `/fhir/Task/${task.id}`)).body;
    });
    expect((await at.call(physician, 'put', `/fhir/Task/${task.id}`, { ...waiting, status: 'cancelled' })).status).toBe(200);
    for (const body of ctStudy(40, 'B-40', 2))
      await fetch(`${at.receiving.orthancUrl}/instances`, { method: 'POST', body: body as never });
    await readAgain();
    expect((await heldOf(40)).filter(([id]) => id !== C.id)).toEqual([
      [A.id, 2],
      [B.id, 2],
    ]);
    const system = await at.hub.system(B.id);
    const { body } = await at.call(system, 'get', `/fhir/ImagingStudy?identifier=urn:oid:${studyUid(40)}&patient=${b.id}`);
    const own = body.entry
      .map((e: FhirResource) => e.resource)
      .find((e: FhirResource) => e.subject.reference === `Patient/${b.id}`);
    expect((await at.call(system, 'put', `/fhir/ImagingStudy/${own.id}`, own)).status).toBe(200);
  });
});
