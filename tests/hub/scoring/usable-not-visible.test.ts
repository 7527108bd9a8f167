import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { extensions, systems } from '../../../fhir-profiles/codes.js';
import { scorePermission } from '../../../hub/scoring/permission.js';
import { standings } from '../../../hub/access/authentication/standing.js';
import { startScoringWorkers } from '../../../hub/scoring/worker.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import {
  type Answer,
  type Client,
  clientOf,
  made,
  NAME,
  openWorld,
  organization,
  series,
  type World,
} from '../security/world.js';
import { retrieveFrom, STUDY_UID, writeStudy } from './phantom-study.js';
import { reviewOf, scoringTask } from './scored-world.js';

type Stored = FhirResource & { id: string };
const SECRETS = ['secret-description', 'secret-series'];

let world: World;
let folder: string;
let study: Stored;
/** D's people: the patient of the study is registered there too, and D may have A's chest CTs scored, and see none. */
let d: Client;
let administrator: Client;
let task: Stored;
let report: Stored;
/** One image of the study. */
let image: string;

const limit = (url: string, value: object) => ({ url, ...value });
const CHEST = { system: systems.snomed, code: '51185008' };
const CT = { system: systems.dicomTerminology, code: 'CT' };
const agreement = (id: string, recipient: string, ...limits: object[]): Stored => ({
  resourceType: 'OrganizationAffiliation',
  id,
  active: true,
  period: { start: '2026-01-01' },
  organization: organization('a'),
  participatingOrganization: organization(recipient),
  code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
  extension: [{ url: extensions.sharingScope, extension: [limit('modality', { valueCoding: CT }), ...limits] }],
});
const toScore = limit('right', { valueCode: 'score' });

beforeAll(async () => {
  world = await openWorld();
  folder = await mkdtemp(join(tmpdir(), 'phantom-'));
  const { files } = await writeStudy(folder);
  image = files[0]!.sopInstanceUid;
  const seriesOf = (number: number) =>
    series({
      uid: `${STUDY_UID}.${number}`,
      description: 'secret-series',
      modality: CT,
      bodySite: CHEST,
      instance: files
        .filter((file) => file.seriesInstanceUid === `${STUDY_UID}.${number}`)
        .map((file) => ({
          uid: file.sopInstanceUid,
          sopClass: { system: systems.uri, code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
        })),
    });
  study = await world.study('a', world.patientOfA, {
    identifier: [{ system: systems.dicomUid, value: `urn:oid:${STUDY_UID}` }],
    description: 'secret-description',
    series: [seriesOf(1), seriesOf(2)],
  });
  [d, administrator] = await Promise.all([world.person('physician-d'), world.person('administrator-d')]);
  const registrar = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
  for (const [id, recipient] of [
    ['score-d', 'd'],
    ['score-c', 'c'],
  ] as const) {
    expect((await registrar.put(agreement(id, recipient, toScore))).status).toBe(201);
    if (id === 'score-d') expect((await ask(d)).status).toBe(403);
    await world.hub.sign(id, 'a', recipient);
  }
  task = made(await ask(d));
  ({ task, report } = await scored(task.id));
});
afterAll(async () => {
  await world?.hub.stop();
  await rm(folder, { recursive: true, force: true });
});

const ask = (client: Client, requester = 'd', patient: FhirResource = world.patientOfD): Promise<Answer> =>
  client.post(scoringTask(study, patient, requester));

/** The job taken to its end by a real worker, with the real model, from the custodian's files. */
async function worked(taskId: string): Promise<Stored> {
  const { db, audit, models, fhir } = world.hub.hub;
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined } as never;
  const workers = startScoringWorkers({
    permission: scorePermission({ db, access: fhir.access, standings: standings(db) }),
    db,
    audit,
    models,
    log,
    config: { scoringTimeout: 100, scoringMemory: 4096 } as never,
    retrieve: retrieveFrom(folder),
    count: 1,
    idleSeconds: 0.05,
  });
  let done = (await d.get(`/fhir/Task/${taskId}`)).body;
  while (!['completed', 'failed'].includes(done.status)) {
    await sleep(100);
    done = (await d.get(`/fhir/Task/${taskId}`)).body;
  }
  await workers.stop();
  return done;
}

async function scored(taskId: string): Promise<{ task: Stored; report: Stored }> {
  const done = await worked(taskId);
  expect(done.status).toBe('completed');
  return { task: done, report: (await d.get(`/fhir/${done.output[0].valueReference.reference}`)).body };
}

const matches = ({ body }: Answer): string[] =>
  (body.entry ?? []).flatMap((e: { resource: Stored }) =>
    e.resource.resourceType === 'OperationOutcome' ? [] : [`${e.resource.resourceType}/${e.resource.id}`],
  );

describe('a hospital that may have a study scored and may not see it', () => {
  it('gets the Task, the report and its Observations', async () => {
    expect(report.status).toBe('preliminary');
    expect(report.conclusion).toContain('Limits of use');
    const ids: string[] = report.result.map((r: { reference: string }) => r.reference);
    for (const reference of [`Task/${task.id}`, `DiagnosticReport/${report.id}`, ...ids])
      expect([reference, (await d.get(`/fhir/${reference}`)).status]).toEqual([reference, 200]);
    expect(matches(await d.get(`/fhir/Observation?_id=${ids.map((id) => id.split('/')[1]).join(',')}`))).toHaveLength(ids.length);
    const [entry] = await world.hub.db.query(sql`
      select agent, outcome from audit_event where subtype = 'request' and type = 'scoring' and ${`Task/${task.id}`} = any(entity)`);
    expect(entry).toEqual({ agent: 'Practitioner/physician-d', outcome: 0 });
  });

  it('gets the structured report without who it is, and the boxes without heat maps', async () => {
    const path = `/scoring/reports/${report.id}`;
    const unnamed = await d.get(`${path}/structured-report`);
    expect(unnamed.status).toBe(200);
    expect(unnamed.text).not.toContain('Wang');
    expect(unnamed.text).not.toContain(NAME);
    const { status, body, text } = await d.get(`${path}/annotations`);
    expect(status).toBe(200);
    expect(body.findings).toHaveLength(report.result.length - 1);
    expect(body.instances.flatMap((i: { maps?: object[] }) => i.maps ?? [])).toEqual([]);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  });

  it.each<[string, () => string]>([
    ['read', () => `/fhir/ImagingStudy/${study.id}`],
    ['a version', () => `/fhir/ImagingStudy/${study.id}/_history/1`],
    ['history', () => `/fhir/ImagingStudy/${study.id}/_history`],
    ['the labels', () => `/fhir/ImagingStudy/${study.id}/$meta`],
    ['the custodian’s Patient', () => `/fhir/Patient/${world.patientOfA.id}`],
    ['WADO-RS: the study', () => `/dicomweb/studies/${STUDY_UID}`],
    ['WADO-RS: its metadata', () => `/dicomweb/studies/${STUDY_UID}/metadata`],
    ['WADO-RS: a series', () => `/dicomweb/studies/${STUDY_UID}/series/${STUDY_UID}.1`],
    ['WADO-RS: an instance', () => `/dicomweb/studies/${STUDY_UID}/series/${STUDY_UID}.1/instances/${image}`],
    ['WADO-RS: a frame', () => `/dicomweb/studies/${STUDY_UID}/series/${STUDY_UID}.1/instances/${image}/frames/1`],
    ['WADO-RS: rendered', () => `/dicomweb/studies/${STUDY_UID}/series/${STUDY_UID}.1/instances/${image}/rendered`],
    ['WADO-RS: a thumbnail', () => `/dicomweb/studies/${STUDY_UID}/thumbnail`],
  ])('is refused, on record: %s', async (_, path) => {
    for (const [client, agent] of [
      [d, 'Practitioner/physician-d'],
      [world.systems.d, 'Client/d.hospital-system'],
    ] as const) {
      const { status, text } = await client.get(path());
      expect([404, 403]).toContain(status);
      for (const secret of SECRETS) expect(text).not.toContain(secret);
      const [entry] = await world.hub.db.query<{ outcome: number; agent: string }>(
        sql`select outcome, agent from audit_event where agent = ${agent} order by id desc limit 1`,
      );
      expect(entry).toEqual({ outcome: 4, agent });
    }
  });

  it.each<[string, () => string]>([
    ['by id', () => `/fhir/ImagingStudy?_id=${study.id}`],
    ['by its UID', () => `/fhir/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:${STUDY_UID}`],
    ['with the Patient', () => `/fhir/ImagingStudy?patient=${world.patientOfA.id}&_include=ImagingStudy:subject`],
    ['from the Task', () => `/fhir/Task?_id=${task.id}&_include=Task:focus&_include=Task:patient`],
    [
      'from the report',
      () =>
        `/fhir/DiagnosticReport?_id=${report.id}&_include=DiagnosticReport:result&_include=DiagnosticReport:subject&_include:iterate=Observation:derived-from`,
    ],
    [
      'from the Observations',
      () =>
        `/fhir/Observation?_id=${report.result[0].reference.split('/')[1]}&_include=Observation:derived-from&_include:iterate=ImagingStudy:subject`,
    ],
    ['where it came from', () => `/fhir/DiagnosticReport?_id=${report.id}&_revinclude=Provenance:target`],
    ['Provenance itself', () => `/fhir/Provenance?target=DiagnosticReport/${report.id}`],
    ['QIDO-RS', () => `/dicomweb/studies?StudyInstanceUID=${STUDY_UID}`],
    ['QIDO-RS: series', () => `/dicomweb/studies/${STUDY_UID}/series`],
    ['QIDO-RS: instances', () => `/dicomweb/studies/${STUDY_UID}/instances`],
  ])('finds nothing of it: %s', async (_, path) => {
    for (const client of [d, world.systems.d]) {
      const { text, body } = await client.get(path());
      const found = path().startsWith('/dicomweb') ? (Array.isArray(body) ? body : []) : matches({ body } as Answer);
      expect(found.filter((f: string) => !/^(Task|DiagnosticReport|Observation|Patient)\//.test(f))).toEqual([]);
      expect(found).not.toContain(`Patient/${world.patientOfA.id}`);
      for (const secret of SECRETS) expect(text).not.toContain(secret);
    }
  });

  it('learns nothing of its content by asking about it: chains and conditions tell no study from another', async () => {
    const id = report.result[0].reference.split('/')[1];
    for (const condition of ['derived-from:ImagingStudy.status=available', 'derived-from:ImagingStudy.modality=CT'])
      expect([condition, matches(await d.get(`/fhir/Observation?_id=${id}&${condition}`))]).toEqual([condition, []]);
    const has = '_has:Observation:derived-from:status=preliminary';
    expect(matches(await d.get(`/fhir/ImagingStudy?_id=${study.id}&${has}`))).toEqual([]);
  });

  it('does nothing else to it: no copy, no report of its own, no label, no change, no word on the score', async () => {
    const body = (resourceType: string, more: object) => ({
      resourceType,
      status: 'final',
      code: { text: 'x' },
      subject: { reference: `Patient/${world.patientOfD.id}` },
      ...more,
    });
    const reference = { reference: `ImagingStudy/${study.id}` };
    const delivery = {
      ...scoringTask(study, world.patientOfD, 'd'),
      input: undefined,
      code: { coding: [{ system: systems.taskKind, code: 'delivery-request' }] },
    };
    const label = {
      resourceType: 'Parameters',
      parameter: [{ name: 'meta', valueMeta: { security: [{ system: systems.confidentiality, code: 'R' }] } }],
    };
    const answers = [
      await d.post(delivery),
      await d.post(body('DiagnosticReport', { imagingStudy: [reference] })),
      await d.post(body('Observation', { derivedFrom: [reference] })),
      await d.post(label, `/fhir/ImagingStudy/${study.id}/$meta-add`),
      await d.put({ ...study, description: 'x' }),
      await d.put({ ...report, status: 'final' }),
      await reviewOf(d, report, { decision: 'accept' }),
    ];
    expect(answers.map((answer) => [403, 404, 422].includes(answer.status))).toEqual(answers.map(() => true));
    for (const { text } of answers) for (const secret of SECRETS) expect(text).not.toContain(secret);
    expect((await d.get(`/fhir/DiagnosticReport/${report.id}`)).body).toEqual(report);
  });

  it('is told why: to score by the agreement, to read and to retrieve by nothing', async () => {
    const explained = async (action: string) =>
      (await d.post({ resource: `ImagingStudy/${study.id}`, action }, '/access/explain')).body;
    expect(await explained('score')).toMatchObject({ allowed: true, basis: 'agreement-score' });
    for (const action of ['read', 'retrieve']) {
      const answer = await explained(action);
      expect(answer.allowed).toBe(false);
      for (const secret of SECRETS) expect(JSON.stringify(answer)).not.toContain(secret);
    }
  });

  it('finds in the audit what its people did, and nothing of the study', async () => {
    const { status, text } = await administrator.get('/fhir/AuditEvent?_count=100');
    expect(status).toBe(200);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  });

  it('keeps the results, and gets no more, when the agreement has ended: what waits is not scored either', async () => {
    const signatory = clientOf(world.hub, await world.hub.person('signatory.a'));
    const waiting = made(await ask(d));
    expect((await signatory.delete('/access/agreements/score-d/signature')).status).toBe(200);
    expect((await ask(d)).status).toBe(403);
    expect(await worked(waiting.id)).toMatchObject({
      status: 'failed',
      statusReason: { text: expect.stringMatching(/may not be scored any more for whoever asked/) },
    });
    expect((await d.get(`/fhir/DiagnosticReport/${report.id}`)).status).toBe(200);
  });
});

describe('a hospital that may have studies scored of people that it does not know', () => {
  it('can’t tell a study that it might have scored from one that does not exist', async () => {
    const c = await world.person('physician-c');
    const hidden = await ask(c, 'c', world.patientOfC);
    const absent = await c.post(scoringTask({ ...study, id: '019a0000-0000-7000-8000-000000000000' }, world.patientOfC, 'c'));
    expect([hidden.status, hidden.text]).toEqual([422, absent.text]);
    expect((await c.get(`/fhir/ImagingStudy/${study.id}`)).status).toBe(404);
  });
});

describe('who may see and not score', () => {
  it('of an agreement by series: is shown the part, and has nothing scored', async () => {
    const registrar = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
    const mixed = await world.study('a', world.patientOfA, {
      series: [series({ bodySite: CHEST }), series({ modality: { ...CT, code: 'MR' } })],
    });
    const bySeries = agreement('parts-d', 'd', limit('granularity', { valueCode: 'series' }));
    expect((await registrar.put(bySeries)).status).toBe(201);
    await world.hub.sign('parts-d', 'a', 'd');
    expect((await d.get(`/fhir/ImagingStudy/${mixed.id}`)).body.numberOfSeries).toBe(1);
    expect((await d.post(scoringTask(mixed, world.patientOfD, 'd'))).status).toBe(403);
  });
});

describe('an agreement to score', () => {
  it.each([
    ['on parts of studies', [toScore, limit('granularity', { valueCode: 'series' })]],
    ['with another right', [limit('right', { valueCode: 'own' })]],
    ['with two', [toScore, limit('right', { valueCode: 'use' })]],
  ])('is not made %s', async (_, limits) => {
    const registrar = clientOf(world.hub, await world.hub.system('commission', 'hub-administrator'));
    expect((await registrar.put(agreement('wrong', 'd', ...limits))).status).toBe(422);
  });
});
