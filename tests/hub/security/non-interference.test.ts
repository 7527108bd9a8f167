import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { systems } from '../../../fhir-profiles/codes.js';
import { openDatabase } from '../../../hub/store/database.js';
import { samplePatient } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { emptyDatabase, type TestDatabase, testProtection } from '../../support/test-database.js';
import {
  assigner,
  type Answer,
  type Client,
  clientOf,
  kindOfTask,
  made,
  openWorld,
  organization,
  studyUidOf,
  type World,
} from './world.js';

/** Two hubs on copies of one database; then in one of them much happens between A and B that C and D may not know of. */
let plain: RunningHub;
let busy: RunningHub;
const databases: TestDatabase[] = [];
let world: World;
const secrets = { ids: [] as string[], uids: [] as string[], patients: [] as string[] };

beforeAll(async () => {
  const origin = await copyOf();
  world = await openWorld({ database: origin });
  await world.systems.c.post(samplePatient(assigner('c'), 'C2', { name: [{ text: '郑王吴' }], birthDate: '1991-01-01' }));
  for (let i = 0; i < 3; i += 1) await world.study('c', world.patientOfC, { started: `202${i}-05-06` });
  await world.hub.stop();
  await origin.db.close();
  [plain, busy] = [await hubOn(await copyOf(origin.url)), await hubOn(await copyOf(origin.url))];
  await happen();
});
afterAll(async () => {
  for (const hub of [plain, busy]) await hub?.stop();
  for (const database of databases) await database.close();
});

async function copyOf(url?: string): Promise<TestDatabase> {
  const { url: address, drop } = await emptyDatabase(url ? new URL(url).pathname.slice(1) : process.env.TEST_DATABASE_TEMPLATE);
  const db = await openDatabase(address, { protection: testProtection(), poolSize: 4 });
  const close = async (): Promise<void> => {
    await db.close().catch(() => undefined);
    await drop();
  };
  const database = { db, url: address, close };
  databases.unshift(database);
  return database;
}

async function hubOn(database: TestDatabase): Promise<RunningHub> {
  const hub = await startHub({ database });
  await hub.enrol(
    { username: 'physician-c', role: 'physician', organizationId: 'c' },
    { username: 'physician-d', role: 'physician', organizationId: 'd' },
    { username: 'administrator-c', role: 'hospital-administrator', organizationId: 'c' },
    { username: 'steward-c', role: 'identity-steward', organizationId: 'c' },
    { username: 'patient-2', role: 'patient', patientId: world.otherOfA.id },
  );
  return hub;
}

/** Patients, studies (one under the Study Instance UID of a study of C), records, an order and a Task, a consent, something in quarantine. */
async function happen(): Promise<void> {
  const a = clientOf(busy, await busy.system('a'));
  for (let i = 0; i < 4; i += 1) {
    const person = { name: [{ text: `秦时${i}` }], birthDate: `1960-01-0${i + 1}` };
    const patient = made(await a.post(samplePatient(assigner('a'), `C${i}`, person)));
    const uid = i === 0 ? studyUidOf(world.studyOfC) : `2.25.77${i}`;
    const subject = { reference: `Patient/${patient.id}` };
    const study = made(
      await a.post({
        resourceType: 'ImagingStudy',
        status: 'available',
        subject,
        identifier: [{ system: systems.dicomUid, value: `urn:oid:${uid}` }],
        started: `202${i}-05-06`,
        modality: [{ system: systems.dicomTerminology, code: 'CT' }],
      }),
    );
    const about = { subject, status: 'final', code: { text: 'x' } };
    const observation = made(
      await a.post({ ...about, resourceType: 'Observation', derivedFrom: [{ reference: `ImagingStudy/${study.id}` }] }),
    );
    const report = made(await a.post({ ...about, resourceType: 'DiagnosticReport' }));
    const order = made(
      await a.post({
        resourceType: 'ServiceRequest',
        status: 'active',
        intent: 'order',
        subject,
        performer: [organization('b')],
        code: { text: 'x' },
      }),
    );
    const task = made(
      await a.post({
        resourceType: 'Task',
        status: 'requested',
        intent: 'order',
        code: kindOfTask('consultation-request'),
        focus: { reference: `ServiceRequest/${order.id}` },
        for: subject,
        requester: organization('a'),
        owner: organization('b'),
        input: [{ type: { text: 'study' }, valueReference: { reference: `ImagingStudy/${study.id}` } }],
      }),
    );
    secrets.uids.push(uid);
    secrets.patients.push(patient.id);
    secrets.ids.push(...[patient, study, observation, report, order, task].map((r) => `${r.resourceType}/${r.id}`));
  }
}

interface Asked {
  method: 'get' | 'post' | 'put';
  path: string;
  body?: object;
  headers?: Record<string, string>;
}

function requests(): fc.Arbitrary<Asked> {
  const { studyOfC, patientOfC, patientOfA, studyOfA, patientOfD, otherOfA } = world;
  const NOBODY = 'ImagingStudy/0190aaaa-0000-7000-8000-000000000000';
  const types = [
    'Patient',
    'ImagingStudy',
    'DiagnosticReport',
    'Observation',
    'ServiceRequest',
    'Task',
    'Consent',
    'Provenance',
    'Organization',
  ];
  const record = fc.constantFrom(
    ...secrets.ids,
    NOBODY,
    `ImagingStudy/${studyOfC.id}`,
    `ImagingStudy/${studyOfA.id}`,
    `Patient/${patientOfA.id}`,
  );
  const patient = fc.constantFrom(...secrets.patients, patientOfC.id, patientOfD.id, patientOfA.id, otherOfA.id, 'nobody');
  const uid = fc.constantFrom(...secrets.uids, studyUidOf(studyOfC), studyUidOf(studyOfA), '2.25.1');
  const parameter = fc.oneof(
    patient.map((id) => `patient=${id}`),
    record.map((r) => `_id=${r.split('/')[1]}`),
    uid.map((u) => `identifier=urn:oid:${u}`),
    fc.constantFrom(
      `identifier=${assigner('a')}|C1`,
      'identifier=C1',
      'identifier=C2',
      `patient.identifier=${assigner('a')}|C1`,
      'patient.identifier=C1',
    ),
    fc.constantFrom(
      'name=%E7%A7%A6',
      'name=q',
      'birthdate=lt1970',
      'started=ge2021',
      'date=ge2020',
      'modality=CT',
      'status=final',
      'status=requested',
    ),
    fc.constantFrom(
      '_lastUpdated=ge2026-01-01',
      '_security=R',
      '_total=accurate',
      '_summary=count',
      '_count=1',
      '_count=2',
      '_sort=-_lastUpdated',
      '_sort=_id',
      '_sort=started',
    ),
    fc.constantFrom('_include=ImagingStudy:patient', '_include=Task:focus', '_include=Observation:derived-from'),
    record.map((r) => `focus=${r}`),
    fc.constantFrom(
      'owner=Organization/b',
      'requester=Organization/a',
      'performer=Organization/b',
      'organization=Organization/a',
    ),
  );
  const search = fc
    .tuple(fc.constantFrom(...types), fc.array(parameter, { maxLength: 4 }))
    .map(([type, parts]): Asked => ({ method: 'get', path: `/fhir/${type}?${parts.join('&')}` }));
  const read = fc
    .tuple(record, fc.constantFrom('', '/_history', '/_history/1', '/_history/2'))
    .map(([r, more]): Asked => ({ method: 'get', path: `/fhir/${r}${more}` }));
  const retrieve = fc
    .tuple(uid, fc.constantFrom('', '/metadata', '?custodian=a', '/series/2.25.5', '/series/2.25.5/instances/2.25.6/frames/1'))
    .map(([u, more]): Asked => ({ method: 'get', path: `/dicomweb/studies/${u}${more}` }));
  const explain = fc
    .tuple(record, fc.constantFrom('know', 'read', 'write', 'score', 'disclose'))
    .map(([resource, action]): Asked => ({ method: 'post', path: '/access/explain', body: { resource, action } }));
  const refer = fc.tuple(record, patient).map(
    ([r, p]): Asked => ({
      method: 'post',
      path: '/fhir/Observation',
      body: {
        resourceType: 'Observation',
        status: 'final',
        code: { text: 'x' },
        subject: { reference: `Patient/${p}` },
        derivedFrom: [{ reference: r }, { reference: 'ImagingStudy/nowhere' }],
      },
    }),
  );
  const replace = record.map((r): Asked => {
    const [resourceType, id] = r.split('/');
    return {
      method: 'put',
      path: `/fhir/${r}`,
      headers: { 'if-match': 'W/"1"' },
      body: { resourceType, id, status: 'final', code: { text: 'x' } },
    };
  });
  const find = fc.constantFrom('C1', 'C2', 'A1').map(
    (number): Asked => ({
      method: 'post',
      path: '/fhir/Patient',
      headers: { 'if-none-exist': `identifier=${number}` },
      body: samplePatient(assigner('a'), number, {
        id: 'x',
        identifier: [{ system: systems.nationalIdentifier, value: 'wrong' }],
      }),
    }),
  );
  const pages = fc
    .constantFrom('/quarantine', '/identity/links', '/fhir/metadata')
    .map((path): Asked => ({ method: 'get', path }));
  return fc.oneof(
    { weight: 6, arbitrary: search },
    { weight: 3, arbitrary: read },
    retrieve,
    explain,
    refer,
    replace,
    find,
    pages,
  );
}

const ask = (client: Client, { method, path, body, headers }: Asked): Promise<Answer> =>
  method === 'get'
    ? client.get(path, headers)
    : method === 'post'
      ? client.post(body!, path, headers)
      : client.put(body as never, path, headers);

describe('two databases that differ only in what a caller may not know of', () => {
  /** Without what differs by nature: where the hub is, and the signature of a cursor, which is bound to the account. */
  const same = (hub: RunningHub, text = ''): string =>
    text
      .replaceAll(hub.url, 'hub')
      .replaceAll(encodeURIComponent(hub.url), 'hub')
      .replace(/(_cursor=[\w-]+\.)[\w-]+/g, '$1');
  const comparable = (hub: RunningHub, { status, text, headers }: Answer) => ({
    status,
    text: same(hub, text),
    etag: headers.etag,
    location: same(hub, headers.location),
  });
  const nextOf = (hub: RunningHub, { body }: Answer): string | undefined =>
    body?.link?.find((l: { relation: string }) => l.relation === 'next')?.url.slice(hub.url.length);
  for (const who of ['physician-c', 'physician-d', 'administrator-c', 'steward-c', 'patient-2', 'system of C'])
    it(`answer ${who} byte for byte the same`, async () => {
      const clientOn = async (hub: RunningHub) =>
        clientOf(hub, who === 'system of C' ? await hub.system('c') : await hub.person(who));
      const [one, other] = [await clientOn(plain), await clientOn(busy)];
      await fc.assert(
        fc.asyncProperty(requests(), async (asked) => {
          const [left, right] = await Promise.all([ask(one, asked), ask(other, asked)]);
          expect(comparable(busy, right)).toEqual(comparable(plain, left));
          const next = [nextOf(plain, left), nextOf(busy, right)];
          if (next[0] && next[1])
            expect(comparable(busy, await other.get(next[1]))).toEqual(comparable(plain, await one.get(next[0])));
        }),
        { numRuns: 150 },
      );
    });
});
