import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { systems } from '../../fhir-profiles/codes.js';
import { addSource } from '../../hub/ingest/hospital.js';
import { createResources } from '../../hub/store/resources.js';
import type { FhirResource } from '../../hub/store/search-keys.js';
import { A, B, counts, ctStudy, objectUid, studyUid, until } from '../hub/delivery/hospitals.js';
import { type ArchiveProxy, startArchiveProxy } from '../support/archive-proxy.js';
import { joinHospital, startHubProcess, type TestHub } from '../support/hub-process.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { samplePatient } from '../support/fhir-samples.js';
import { type TestDatabase, testDatabase } from '../support/test-database.js';

/** Three requests to store. */
const OBJECTS = 64 + 64 + 10;
const all = Array.from({ length: OBJECTS }, (_, i) => objectUid(1, i));

let database: TestDatabase;
let giving: Orthanc;
let receiving: Orthanc;
let proxy: ArchiveProxy;
let folder: string;
let hub: TestHub | undefined;
let token: string;

beforeAll(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'delivered-'));
  for (const [i, bytes] of ctStudy(1, 'A-1', OBJECTS).entries()) await writeFile(join(folder, `${i}.dcm`), bytes);
  [giving, receiving] = await Promise.all([startOrthanc({ folder }), startOrthanc()]);
  proxy = await startArchiveProxy(receiving.orthancUrl, () => all);
  hub = await startHubProcess({ databaseUrl: database.url });
  token = (await joinHospital(hub, B)).token;
  await joinHospital(hub, A);
  await database.db.pool.query(`
    insert into organization (id, kind, name) values ('east', 'consortium', 'east');
    insert into consortium_charter (consortium_id) values ('east');
    insert into consortium_member (affiliation_id, consortium_id, organization_id) values ('east.a', 'east', 'hospital-a'), ('east.b', 'east', 'hospital-b')`);
  await createResources(database.db, [{ resource: { resourceType: 'Organization', id: B.id, name: B.id }, custodianId: '' }]);
  await addSource(database.db, {
    id: 'a.pacs',
    organizationId: A.id,
    kind: 'dicomweb',
    settings: { baseUrl: giving.dicomwebUrl, orthancUrl: giving.orthancUrl },
  });
  await addSource(database.db, {
    id: 'b.pacs',
    organizationId: B.id,
    kind: 'dicomweb',
    settings: { baseUrl: proxy.url },
    store: true,
  });
});
afterAll(async () => {
  await hub?.kill();
  await proxy?.stop();
  await Promise.all([giving?.stop(), receiving?.stop()]);
  await database?.close();
  await rm(folder, { recursive: true, force: true });
});

async function call(method: 'GET' | 'POST', path: string, body?: object): Promise<FhirResource> {
  const reply = await fetch(`${hub!.url}/fhir/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return (await reply.json()) as FhirResource;
}

/** The lease of a process that was killed ends after half a minute: here, at once. */
async function restart(): Promise<void> {
  hub = await startHubProcess({ databaseUrl: database.url, port: Number(new URL(hub!.url).port) });
  await database.db.pool.query("update delivery_job set lease_until = now() where state = 'running'");
}

/** A study of A's as it is indexed, and its patient as B knows him. */
async function known(number: number): Promise<[study: FhirResource, patient: FhirResource]> {
  const patient = await call('POST', 'Patient', samplePatient(B.assigner, `B-${number}`));
  const study = await until(async () => {
    const { rows } = await database.db.pool.query(
      `select r.id, r.patient_id from resource r join study_claim c on c.study_id = r.id
        where c.study_instance_uid = $1 and (r.content->>'numberOfInstances')::int = $2`,
      [studyUid(number), OBJECTS],
    );
    return rows[0] as { id: string; patient_id: string } | undefined;
  });
  await database.db.pool.query('insert into cross_reference (patient_id, cluster_id) values ($1, $1), ($2, $1)', [
    study.patient_id,
    patient.id,
  ]);
  await database.db.pool.query("insert into patient_registration (organization_id, patient_id) values ('hospital-b', $1)", [
    study.patient_id,
  ]);
  return [{ resourceType: 'ImagingStudy', ...study }, patient];
}

async function place(study: FhirResource, patient: FhirResource): Promise<FhirResource> {
  const task = await call('POST', 'Task', {
    resourceType: 'Task',
    status: 'requested',
    intent: 'order',
    code: { coding: [{ system: systems.taskKind, code: 'delivery-request' }] },
    focus: { reference: `ImagingStudy/${study.id}` },
    for: { reference: `Patient/${patient.id}` },
    requester: { reference: `Organization/${B.id}` },
  });
  expect([task.status, task.issue]).toEqual(['requested', undefined]);
  return task;
}

const ended = (task: FhirResource): Promise<FhirResource> =>
  until(async () => {
    const now = await call('GET', `Task/${task.id}`);
    return ['completed', 'failed'].includes(now.status) && now;
  });

it('a delivery whose hub is killed twice, before and after an acknowledgement, comes to its end: nothing is lost, nothing is sent again that was on record', async () => {
  const [study, patient] = await known(1);

  const killed: number[] = [];
  const recorded: number[] = [];
  const delivered = async (): Promise<number> =>
    (await database.db.pool.query("select count(*)::int as n from delivery_instance where state = 'delivered'")).rows[0].n;
  let die: (() => void) | undefined;
  const death = () =>
    new Promise<void>((resolve) => {
      die = resolve;
    });
  let dying = death();
  proxy.beforeStore = async (number) => {
    if (killed.includes(number) || ![2, 4].includes(number)) return;
    killed.push(number);
    recorded.push(await delivered());
    await hub!.kill();
    die?.();
  };
  const task = await place(study, patient);
  for (let kill = 0; kill < 2; kill += 1) {
    await dying;
    dying = death();
    await restart();
  }
  const done = await ended(task);
  expect([done.status, counts(done)]).toEqual([
    'completed',
    { 'instances-total': OBJECTS, 'instances-delivered': OBJECTS, 'instances-failed': 0 },
  ]);
  expect(killed).toEqual([2, 4]);
  // the first request was acknowledged and on record; the second was acknowledged to a hub that was dead by then
  expect(recorded[0]).toBe(64);
  const times = new Map(all.map((uid) => [uid, proxy.acknowledged.filter((uids) => uids.includes(uid)).length]));
  expect([...times.values()].every((n) => n >= 1)).toBe(true);
  expect(proxy.acknowledged[0]?.every((uid) => times.get(uid) === 1)).toBe(true);
  const reply = await fetch(`${receiving.orthancUrl}/statistics`);
  expect(await reply.json()).toMatchObject({ CountInstances: OBJECTS, CountStudies: 1, CountPatients: 1 });
  const [audit] = (
    await database.db.pool.query("select count(*)::int as n from audit_event where subtype = 'deliver' and outcome = 0")
  ).rows;
  expect(audit.n).toBe(3);
});

it('by C-STORE as well: the hub is killed in the middle of a series, and sends the rest', async () => {
  const files = ctStudy(2, 'A-2', OBJECTS);
  for (const [i, bytes] of files.entries()) await writeFile(join(folder, `2-${i}.dcm`), bytes);
  expect(await giving.store(files.map((_, i) => join(folder, `2-${i}.dcm`)))).toBe(OBJECTS);
  await addSource(database.db, {
    id: 'b.pacs',
    organizationId: B.id,
    kind: 'dimse',
    settings: { host: '127.0.0.1', port: receiving.dicomPort, calledAeTitle: 'ORTHANC' },
    store: true,
  });
  const task = await place(...(await known(2)));
  const delivered = async (): Promise<number> =>
    (
      await database.db.pool.query(
        "select count(*)::int as n from delivery_instance where task_id = $1 and state = 'delivered'",
        [task.id],
      )
    ).rows[0].n;
  await until(async () => (await delivered()) >= 5);
  await hub!.kill();
  const before = await delivered();
  expect(before).toBeLessThan(OBJECTS);
  await restart();
  expect(counts(await ended(task))).toEqual({
    'instances-total': OBJECTS,
    'instances-delivered': OBJECTS,
    'instances-failed': 0,
  });
  expect(await (await fetch(`${receiving.orthancUrl}/statistics`)).json()).toMatchObject({ CountInstances: 2 * OBJECTS });
  const { rows } = await database.db.pool.query('select max(attempts)::int as most from delivery_instance where task_id = $1', [
    task.id,
  ]);
  expect(rows).toEqual([{ most: 1 }]);
});
