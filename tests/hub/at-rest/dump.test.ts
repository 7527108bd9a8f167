import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { identifierTypes, systems } from '../../../fhir-profiles/codes.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { dataSet, part10 } from '../../connectors/support/data-sets.js';
import { bundleOf, post, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { codeOf, hl7, mllpClient, pid, segment } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { type Client, clientOf, made } from '../security/world.js';
import { dump, tracesOf } from './dump.js';

const assigner = (hospital: string): string => `urn:patients-of-${hospital}`;
const REGIONAL = 'urn:oid:1.2.156.99.7';
const secrets = {
  national: withCheckDigit('11010519700102301'),
  nationalOfDicom: withCheckDigit('44052419680312101'),
  mistyped: '110105197001023019',
  insurance: 'YB-3300-5500-7781',
  regional: 'SB4471109923',
  passport: 'EA9031776',
  healthCard: 'H330100881726354',
  phone: '13957104826',
  contact: '057187236541',
  email: 'li.lei.1970@mail.example',
  doctor: '13606517392',
  organization: '057112320000',
  mentioned: '13588209147',
  noted: withCheckDigit('33010219551120202'),
  ofMessage: withCheckDigit('33010219601120202'),
  inDocument: withCheckDigit('33010219611120202'),
};

let database: TestDatabase;
let hub: RunningHub;
let a: Client;
let b: Client;
let patient: FhirResource & { id: string };
const lines: string[] = [];
const folders: string[] = [];

const typed = (code: string, value: string, system = 'urn:somebody') => ({
  system,
  value,
  type: { coding: [{ system: systems.identifierType, code }] },
});
const lei = (hospital: string, number: string, more: object = {}) =>
  samplePatient(assigner(hospital), number, {
    identifier: [
      typed(identifierTypes.medicalRecordNumber, number, assigner(hospital)),
      { system: systems.nationalIdentifier, value: secrets.national },
      { system: systems.medicalInsurance, value: secrets.insurance },
      { system: REGIONAL, value: secrets.regional },
      { system: systems.healthCard, value: secrets.healthCard },
      typed('PPN', secrets.passport),
    ],
    telecom: [
      {
        system: 'phone',
        value: `+86 ${secrets.phone.slice(0, 3)}-${secrets.phone.slice(3, 7)}-${secrets.phone.slice(7)}`,
        use: 'mobile',
      },
      { system: 'email', value: secrets.email },
    ],
    contact: [{ name: { text: '韩梅梅' }, telecom: [{ system: 'phone', value: secrets.contact }] }],
    text: {
      status: 'generated',
      div: `<div xmlns="http://www.w3.org/1999/xhtml">李雷 ${secrets.national}, ${secrets.phone}</div>`,
    },
    ...more,
  });

beforeAll(async () => {
  database = await testDatabase({ protectedSystems: [REGIONAL] });
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  hub = await startHub({ database, log, config: { protectedSystems: [REGIONAL], logLevel: 'trace' } });
  await hub.join(
    ['a', 'b'].map((id) => ({ id, assigner: assigner(id) })),
    'union',
  );
  a = clientOf(hub, await hub.system('a'));
  b = clientOf(hub, await hub.system('b'));
  patient = made(await a.post(lei('a', 'A-1')));
});
afterAll(async () => {
  await hub.stop();
  await database.close();
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

const idsOf = (answer: { body: { entry?: { resource: { id: string } }[] } }) =>
  (answer.body.entry ?? []).map((e) => e.resource.id);
const find = async (by: Client, query: string) => idsOf(await by.get(`/fhir/${query}`));
const enc = encodeURIComponent;

describe('a Patient whose numbers are encrypted at rest', () => {
  it('is answered with them in clear to who may read her, whole and in every version', async () => {
    const read = await a.get(`/fhir/Patient/${patient.id}`);
    expect(read.body).toMatchObject({ ...lei('a', 'A-1'), id: patient.id });
    const changed = made({ ...(await a.put({ ...read.body, birthDate: '1970-01-02', active: true })), status: 201 });
    expect(changed.identifier).toEqual(read.body.identifier);
    const { body: history } = await a.get(`/fhir/Patient/${patient.id}/_history`);
    expect(history.entry.map((e: { resource: FhirResource }) => e.resource.telecom)).toEqual([patient.telecom, patient.telecom]);
    expect((await a.get(`/fhir/Patient/${patient.id}/_history/1`)).body.contact).toEqual(patient.contact);
  });

  it.each([
    ['national identifier', `identifier=${systems.nationalIdentifier}|${secrets.national}`],
    ['national identifier without system, in any case', `identifier=${secrets.national.toLowerCase()}`],
    ['insurance number', `identifier=${systems.medicalInsurance}|${secrets.insurance}`],
    ['insurance number without system', `identifier=${secrets.insurance}`],
    ['number of a system that the region named', `identifier=${REGIONAL}|${secrets.regional}`],
    ['number that its type protects', `identifier=urn:somebody|${secrets.passport}`],
    ['system alone', `identifier=${systems.medicalInsurance}|`],
    ['patient number', `identifier=${assigner('a')}|A-1`],
    ['telephone however it is written', `phone=${enc('+86 139 5710 4826')}`],
    ['e-mail address', `telecom=${enc(secrets.email)}`],
    ['one of several numbers', `identifier=nobody,${secrets.national}`],
  ])('is found by her %s', async (_what, query) => {
    expect(await find(a, `Patient?${query}`)).toEqual([patient.id]);
  });

  it.each([
    `identifier=${secrets.national.slice(0, -1)}0`,
    `identifier=${REGIONAL}|${secrets.national}`,
    `phone=${secrets.contact}`,
    `phone=${enc(secrets.email)}`,
    'phone:missing=true',
    `identifier:not=${secrets.national}`,
  ])('is not found by %s', async (query) => {
    expect(await find(a, `Patient?${query}`)).toEqual([]);
  });

  it('keeps studies that are found by her number, and conditional writes that find her', async () => {
    const study = made(await a.post(sampleStudy(patient.id)));
    for (const number of [secrets.national, `${systems.medicalInsurance}|${secrets.insurance}`, 'A-1'])
      expect(await find(a, `ImagingStudy?patient.identifier=${number}`)).toEqual([study.id]);
    const again = await a.put(lei('a', 'A-1'), `/fhir/Patient?identifier=${systems.nationalIdentifier}|${secrets.national}`);
    expect([again.status, again.body.id]).toEqual([200, patient.id]);
    const found = await a.post(
      bundleOf('transaction', [post(lei('a', 'A-1'), { ifNoneExist: `identifier=${secrets.insurance}` })]),
      '/fhir',
    );
    expect(found.body.entry[0].resource.id).toBe(patient.id);
    const taken = await a.post(lei('a', 'A-2'));
    expect(taken.status).toBe(409);
  });

  it('is linked with herself at another hospital, and signs in, by her national identifier', async () => {
    const [other] = (await b.post(bundleOf('transaction', [post(lei('b', 'B-1'))]), '/fhir')).body.entry;
    await hub.enrol({ username: 'steward-b', role: 'identity-steward', organizationId: 'b' });
    const steward = clientOf(hub, await hub.person('steward-b'));
    const { body } = await steward.get('/identity/links');
    expect(body.links ?? body.items ?? body).toMatchObject([
      { state: 'linked', matched: expect.arrayContaining(['national-identifier']) },
    ]);
    hub.login('lei', secrets.national);
    const herself = clientOf(hub, await hub.person('lei'));
    const seen = await find(herself, 'Patient');
    expect(seen.sort()).toEqual([patient.id, other.resource.id].sort());
  });
});

it('numbers that stand where nobody expects them are encrypted too, and come back as they were', async () => {
  const request = {
    resourceType: 'ServiceRequest',
    status: 'draft',
    intent: 'order',
    subject: { reference: `Patient/${patient.id}`, identifier: { system: systems.nationalIdentifier, value: secrets.national } },
    note: [{ text: `身份证 ${secrets.noted}, tel. ${secrets.mentioned}.` }],
  };
  const stored = made(await a.post(request));
  expect((await a.get(`/fhir/ServiceRequest/${stored.id}`)).body).toMatchObject(request);
  const administrator = clientOf(hub, await hub.system('commission', 'hub-administrator'));
  const doctor = {
    resourceType: 'Practitioner',
    id: 'doctor-1',
    name: [{ text: '王芳' }],
    telecom: [{ system: 'phone', value: secrets.doctor }],
  };
  expect((await administrator.put(doctor)).status).toBeLessThan(300);
  expect((await administrator.get('/fhir/Practitioner/doctor-1')).body).toMatchObject(doctor);
  expect(await find(administrator, `Practitioner?phone=${secrets.doctor}`)).toEqual(['doctor-1']);
  const mistyped = made(
    await a.post(
      samplePatient(assigner('a'), 'A-9', {
        identifier: [
          { system: assigner('a'), value: 'A-9' },
          { system: 'urn:other', value: secrets.mistyped },
        ],
      }),
    ),
  );
  expect(await find(a, `Patient?identifier=urn:other|${secrets.mistyped}`)).toEqual([mistyped.id]);
});

it('a hospital that numbers its patients by their national identifier gets its studies, and sends the next ones to the same Patient', async () => {
  const root = await mkdtemp(join(tmpdir(), 'archive-'));
  folders.push(root);
  const put = (study: number) =>
    writeFile(
      join(root, `${study}.dcm`),
      part10(
        dataSet({
          '00080018': ['UI', `2.25.9.${study}.1.1`],
          '0020000D': ['UI', `2.25.9.${study}`],
          '0020000E': ['UI', `2.25.9.${study}.1`],
          '00100020': ['LO', secrets.nationalOfDicom],
        }),
      ),
    );
  await put(1);
  await put(2);
  await addSource(hub.db, { id: 'a.archive', organizationId: 'a', kind: 'folder', settings: { root } });
  let found: string[] = [];
  for (let i = 0; i < 600 && found.length < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    found = await find(a, `ImagingStudy?patient.identifier=${secrets.nationalOfDicom}`);
  }
  expect(found).toHaveLength(2);
  expect(await find(a, `Patient?identifier=${assigner('a')}|${secrets.nationalOfDicom}`)).toHaveLength(1);
});

it('what a hospital’s system sends is encrypted too: a message that is held, a document of a report', async () => {
  const port = await freePort();
  await addSource(hub.db, { id: 'a.his', organizationId: 'a', kind: 'hl7v2', settings: { port, peers: ['127.0.0.1'] } });
  await hub.hub.sources.idle();
  const his = await mllpClient(port);
  const answers = [
    await his.send(hl7('ADT^A04', [pid(`A-20~${secrets.ofMessage}^^^^NNCHN`, { 7: '19990101' })])),
    await his.send(hl7('ADT^A04', [pid('A-20', { 5: '赵^敏', 8: 'F', 19: secrets.ofMessage })])),
    await his.send(
      hl7('ORU^R01', [
        pid('A-21'),
        segment('OBR', { 3: 'F21', 4: 'CT', 25: 'F' }),
        segment('OBX', {
          2: 'ED',
          3: 'PDF^Report',
          5: `HIS^text^plain^Base64^${Buffer.from(`no. ${secrets.inDocument}.`).toString('base64')}`,
        }),
      ]),
    ),
  ];
  his.end();
  expect(answers.map(([answer]) => codeOf(answer ?? []))).toEqual(['AA', 'AR', 'AA']);
  const { body } = await a.get('/fhir/DiagnosticReport?identifier=F21');
  expect(Buffer.from(body.entry[0].resource.presentedForm[0].data, 'base64').toString()).toContain(secrets.inDocument);
});

it('a search is posted, batched, and a glass broken, by her number', async () => {
  const form = await hub
    .http()
    .post('/fhir/Patient/_search')
    .set('authorization', `Bearer ${await hub.system('a')}`)
    .type('form')
    .send({ identifier: secrets.passport });
  expect(form.body.entry).toHaveLength(2);
  const batch = bundleOf('batch', [{ request: { method: 'GET', url: `Patient?phone=${secrets.phone}` } }]);
  expect((await a.post(batch, '/fhir')).body.entry[0].resource.entry).toHaveLength(2);
  await hub.enrol({ username: 'physician-b', role: 'physician', organizationId: 'b' });
  const physician = clientOf(hub, await hub.person('physician-b'));
  const asked = {
    patient: { identifier: { system: systems.nationalIdentifier, value: secrets.national } },
    reason: 'unconscious',
    statement: 'Brought in unconscious after a fall.',
  };
  expect((await physician.post(asked, '/access/break-glass')).status).toBe(201);
});

it('the audit shows a search as it was typed to the auditor', async () => {
  await a.get(`/fhir/Patient/${secrets.national}`);
  await a.get(`/fhir/Patient?identifier=${secrets.insurance}`);
  await hub.enrol({ username: 'auditor', role: 'auditor', organizationId: 'commission' });
  const auditor = clientOf(hub, await hub.person('auditor'));
  const { body } = await auditor.get('/fhir/AuditEvent?_count=200');
  const queries = body.entry.flatMap((e: { resource: FhirResource }) =>
    (e.resource.entity ?? []).map((x: { query?: string }) => Buffer.from(x.query ?? '', 'base64').toString()),
  );
  expect(queries.filter((q: string) => q.includes(secrets.national)).length).toBeGreaterThan(1);
  expect(queries).toContain(`Patient?identifier=${secrets.insurance}`);
  expect(JSON.stringify(body)).not.toContain('~sealed');
});

it('whoever has all of the database and its log, and not the secret, has none of the numbers', async () => {
  await clientOf(hub, await hub.system('commission', 'hub-administrator')).put({
    resourceType: 'Organization',
    id: 'clinic',
    name: 'clinic',
    type: [{ coding: [{ system: systems.organizationKind, code: 'hospital' }] }],
    telecom: [{ system: 'phone', value: secrets.organization }],
  });
  await hub.db.pool.query('analyze');
  const all = await dump(hub.db, database.url);
  expect(all).toContain('李雷'); // it is the dump
  expect(all).toContain('A-1');
  for (const [name, value] of Object.entries(secrets))
    for (const trace of tracesOf(value)) expect([name, trace, all.includes(trace)]).toEqual([name, trace, false]);
  const log = lines.join('');
  expect(log).toContain('request');
  for (const [name, value] of Object.entries(secrets)) expect([name, log.includes(value)]).toEqual([name, false]);
});
