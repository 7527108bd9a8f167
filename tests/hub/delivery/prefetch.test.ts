import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { regionsOf } from '../../../fhir-profiles/body-regions.js';
import { bodyParts, systems } from '../../../fhir-profiles/index.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { isRelevant } from '../../../hub/delivery/prefetch/relevance.js';
import { addHospital, addSource } from '../../../hub/ingest/hospital.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { TEST_SECRET } from '../../support/test-database.js';
import { codeOf, hl7, mllpClient, pid } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { A, B, ctStudy, studyUid, until } from './hospitals.js';

const CHEST = '816094009';
const LUNG = '39607008';
const KNEE = '72696002';

describe('a prior study', () => {
  const ct = { modality: ['CT'], bodySite: [CHEST] };
  it.each([
    [ct, { modality: ['CT'], bodySite: [LUNG] }, true],
    [ct, { modality: ['CR'], bodySite: [CHEST] }, true],
    [ct, { modality: ['CT'], bodySite: [KNEE] }, false],
    [ct, { modality: ['MR'], bodySite: [] }, true],
    [ct, { modality: ['CR'], bodySite: [] }, false],
    [{ modality: ['DX'], bodySite: [] }, { modality: ['CR'], bodySite: [KNEE] }, true],
    [{ modality: ['MG'], bodySite: [] }, { modality: ['US'], bodySite: [] }, false],
    [{ modality: ['XX'], bodySite: [] }, { modality: ['XX'], bodySite: [] }, true],
    [{ modality: [], bodySite: [] }, { modality: ['US'], bodySite: [KNEE] }, true],
    [{ modality: [], bodySite: [CHEST] }, { modality: ['US'], bodySite: [KNEE] }, false],
  ])('beside %j is %j relevant: %s', (planned, prior, expected) => {
    expect(isRelevant(planned, prior)).toBe(expected);
  });

  it('of any body part is of a region', () => {
    expect(bodyParts.filter(({ code }) => regionsOf(code).length === 0).map(({ term }) => term)).toEqual([]);
    expect(regionsOf('1')).toEqual([]);
  });
});

describe('an appointment', () => {
  let hub: RunningHub;
  let folder: string;
  let system: string;
  let patients: { a: FhirResource; b: FhirResource };
  const given = () => join(folder, 'a');
  const received = () => join(folder, 'b');

  const call = async (token: string, method: 'get' | 'post' | 'put', path: string, body?: object) => {
    const request = hub.http()[method](path).set('authorization', `Bearer ${token}`);
    const answer = await (body ? request.set('content-type', 'application/fhir+json').send(JSON.stringify(body)) : request);
    return { status: answer.status, body: answer.text ? JSON.parse(answer.text) : undefined };
  };
  const register = async (hospital: typeof A, number: string) => {
    const national = { system: systems.nationalIdentifier, value: withCheckDigit('99010119010101001') };
    const patient = {
      resourceType: 'Patient',
      identifier: [{ system: hospital.assigner, value: number }, national],
      name: [{ text: '王小东' }],
    };
    const path = `/fhir/Patient?identifier=${encodeURIComponent(`${hospital.assigner}|${number}`)}`;
    return (await call(await hub.system(hospital.id), 'put', path, patient)).body as FhirResource;
  };

  /** Studies at A: chest CTs of several ages, a knee MR, one that the patient does not want shown. */
  const yearsAgo = (years: number) => String(new Date().getFullYear() - years);
  const STUDIES: [study: number, more: Record<string, [string, string]>][] = [
    [1, { '00080020': ['DA', `${yearsAgo(1)}0101`] }],
    [2, { '00080020': ['DA', `${yearsAgo(2)}0101`] }],
    [3, { '00080020': ['DA', `${yearsAgo(3)}0101`] }],
    [4, { '00080020': ['DA', `${yearsAgo(9)}0101`] }],
    [5, { '00080020': ['DA', `${yearsAgo(1)}0202`], '00180015': ['CS', 'KNEE'], '00080060': ['CS', 'MR'] }],
  ];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'prefetch-'));
    for (const [study, more] of STUDIES) {
      await mkdir(join(given(), String(study)), { recursive: true });
      for (const [i, bytes] of ctStudy(study, 'A-1', 3, more).entries())
        await writeFile(join(given(), String(study), `${i}.dcm`), bytes);
    }
    await mkdir(received());
    hub = await startHub();
    await hub.join([A, B], 'east');
    await addSource(hub.db, { id: 'a.folder', organizationId: A.id, kind: 'folder', settings: { root: given() } });
    await addSource(hub.db, {
      id: 'b.folder',
      organizationId: B.id,
      kind: 'folder',
      settings: { root: received() },
      store: true,
      prefetch: { most: 2, years: 5, hoursBefore: 24 },
    });
    await hub.hub.sources.idle();
    patients = { a: await register(A, 'A-1'), b: await register(B, 'B-1') };
    system = await hub.system(B.id);
  });
  afterAll(async () => {
    await hub?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const appointment = (hours: number, more: object = {}) => ({
    resourceType: 'Appointment',
    status: 'booked',
    serviceType: [
      { coding: [{ system: systems.dicomTerminology, code: 'CT' }] },
      { coding: [{ system: systems.snomed, code: CHEST }] },
    ],
    start: inHours(hours),
    end: inHours(hours + 1),
    participant: [{ actor: { reference: `Patient/${patients.b.id}` }, status: 'accepted' }],
    ...more,
  });
  const tasks = async (): Promise<FhirResource[]> => {
    const { body } = await call(system, 'get', '/fhir/Task?_count=50');
    return (body.entry ?? []).map((entry: { resource: FhirResource }) => entry.resource);
  };
  const studyOf = async (task: FhirResource): Promise<string> => {
    const [row] = (
      await hub.db.pool.query(
        "select content->'identifier'->0->>'value' as uid from resource where type = 'ImagingStudy' and id = $1",
        [task.focus.reference.split('/')[1]],
      )
    ).rows;
    return row.uid.replace('urn:oid:', '');
  };
  const audit = async () =>
    (
      await hub.db.pool.query(
        "select subtype, purpose, agent, patient_id, entity from audit_event where type = 'export' order by recorded, id",
      )
    ).rows;
  const plan = async (id: string) =>
    (await hub.db.pool.query('select state, due from prefetch_plan where record = $1', [`Appointment/${id}`])).rows[0];

  it('that is far away waits; one that is called off is prepared for by nobody', async () => {
    const far = await call(system, 'post', '/fhir/Appointment', appointment(24 * 30));
    expect([far.status, far.body.issue]).toEqual([201, undefined]);
    expect((await plan(far.body.id)).state).toBe('waiting');
    const moved = await call(system, 'put', `/fhir/Appointment/${far.body.id}`, {
      ...far.body,
      start: inHours(24 * 40),
      end: inHours(24 * 41),
    });
    expect(moved.status).toBe(200);
    expect((await plan(far.body.id)).due.getTime()).toBeGreaterThan(Date.now() + 38 * 24 * 3_600_000);
    await call(system, 'put', `/fhir/Appointment/${far.body.id}`, { ...moved.body, status: 'cancelled' });
    expect((await plan(far.body.id)).state).toBe('cancelled');
    expect(await tasks()).toEqual([]);
  });

  it('whose deliveries wait is called off: they are, too', async () => {
    await hub.db.pool.query('update connector set settings = settings || \'{"root": "/nowhere"}\' where id = \'b.folder\'');
    const near = await call(system, 'post', '/fhir/Appointment', appointment(3));
    const waiting = await until(async () => (await tasks()).length === 2 && tasks());
    expect(waiting.map((task) => task.status).every((status) => ['requested', 'in-progress'].includes(status))).toBe(true);
    await call(system, 'put', `/fhir/Appointment/${near.body.id}`, { ...near.body, status: 'cancelled' });
    expect((await tasks()).map((task) => task.status)).toEqual(['cancelled', 'cancelled']);
    await hub.db.pool.query("update connector set settings = settings || $1 where id = 'b.folder'", [
      JSON.stringify({ root: received() }),
    ]);
  });

  it('that is near brings the newest relevant priors, each a disclosure for treatment; what is withheld leaves no trace', async () => {
    const own = await call(await hub.system(A.id), 'get', `/fhir/ImagingStudy?identifier=urn:oid:${studyUid(2)}`);
    const hidden = own.body.entry[0].resource;
    const labelled = await call(await hub.system(A.id), 'put', `/fhir/ImagingStudy/${hidden.id}`, {
      ...hidden,
      meta: { ...hidden.meta, security: [{ system: systems.confidentiality, code: 'R' }] },
    });
    expect([labelled.status, labelled.body.issue]).toEqual([200, undefined]);
    const before = (await audit()).length;
    const near = await call(system, 'post', '/fhir/Appointment', appointment(2));
    expect(near.status).toBe(201);
    const done = await until(async () => {
      const completed = (await tasks()).filter((task) => task.status === 'completed');
      return completed.length === 2 && completed;
    });
    expect((await Promise.all(done.map(studyOf))).sort()).toEqual([studyUid(1), studyUid(3)]);
    expect(done.map((task) => task.input)).toEqual([undefined, undefined]);
    const entries = (await audit()).filter((entry) => entry.subtype === 'deliver');
    expect(entries.map((entry) => [entry.agent, entry.purpose])).toEqual([
      ['Device/hub', 'TREAT'],
      ['Device/hub', 'TREAT'],
    ]);
    expect((await audit()).slice(before).some((entry) => entry.entity.includes(`ImagingStudy/${hidden.id}`))).toBe(false);
    expect((await readdir(received(), { recursive: true })).filter((name) => name.endsWith('.dcm'))).toHaveLength(6);
  });

  it('leaves the copies another hospital’s: the recipient’s archive is read, and they do not become its own', async () => {
    await hub.hub.sources.idle();
    const copied = [studyUid(1), studyUid(3)];
    const custodians = await hub.db.pool.query('select custodian_id from study_claim where study_instance_uid = any($1)', [
      copied,
    ]);
    expect(custodians.rows.map((row) => row.custodian_id)).toEqual([A.id, A.id]);
    const pushed = await call(system, 'post', '/fhir/ImagingStudy', {
      resourceType: 'ImagingStudy',
      status: 'available',
      identifier: [{ system: systems.dicomUid, value: `urn:oid:${studyUid(1)}` }],
      subject: { reference: `Patient/${patients.b.id}` },
    });
    expect([pushed.status, pushed.body.issue[0].diagnostics]).toEqual([409, expect.stringContaining('another hospital’s')]);
    const [own] = ctStudy(1, 'B-1', 1, { '00080018': ['UI', `${studyUid(1)}.9`], '0020000E': ['UI', `${studyUid(1)}.8`] });
    await writeFile(join(received(), 'own.dcm'), own!);
    await hub.hub.sources.idle();
    const after = await hub.db.pool.query('select sop_instance_uid from imaging_instance where custodian_id = $1', [B.id]);
    expect(after.rows).toEqual([{ sop_instance_uid: `${studyUid(1)}.9` }]);
  });

  it('that follows brings nothing twice, and an order of the hospital counts like an appointment', async () => {
    const before = (await tasks()).length;
    const order = await call(system, 'post', '/fhir/ServiceRequest', {
      resourceType: 'ServiceRequest',
      status: 'active',
      intent: 'order',
      subject: { reference: `Patient/${patients.b.id}` },
      occurrenceDateTime: inHours(2),
      bodySite: [{ coding: [{ system: systems.snomed, code: KNEE }] }],
    });
    expect([order.status, order.body.issue]).toEqual([201, undefined]);
    const added = await until(async () => {
      const now = await tasks();
      return now.length > before && now;
    });
    await sleep(2_500);
    expect((await tasks()).length).toBe(before + 1);
    expect(await studyOf(added.find((task) => !['cancelled'].includes(task.status) && task.priority === 'urgent')!)).toBe(
      studyUid(5),
    );
  });

  it('comes by HL7 v2 as well (SIU): booked, moved, called off, not kept', async () => {
    const port = await freePort();
    await addSource(hub.db, { id: 'b.his', organizationId: B.id, kind: 'hl7v2', settings: { port, peers: ['127.0.0.1'] } });
    await hub.hub.sources.idle();
    const his = await mllpClient(port);
    const at = (hours: number) =>
      inHours(hours)
        .replace(/[-:T]|\.\d+Z/g, '')
        .slice(0, 14);
    const siu = async (event: string, number: string, hours: number, more = '') => {
      const sch = `SCH||${number}||||R^${more || 'CHANGED'}|||20|MIN|^^^${at(hours)}+0000`;
      const message = hl7(`SIU^${event}^SIU_S12`, [sch, pid('B-1'), 'RGS|1', 'AIS|1||CT^CT chest']);
      return codeOf((await his.send(message))[0] ?? []);
    };
    const appointmentOf = async (number: string): Promise<FhirResource> =>
      (await call(system, 'get', `/fhir/Appointment?identifier=${number}`)).body.entry?.[0]?.resource;
    expect(await siu('S12', 'AP-1', 24 * 20)).toBe('AA');
    const booked = await appointmentOf('AP-1');
    expect(booked).toMatchObject({
      status: 'booked',
      minutesDuration: 20,
      serviceType: [{ text: 'CT chest' }, { coding: [{ code: 'CT' }] }],
      participant: [{ actor: { reference: `Patient/${patients.b.id}` } }],
    });
    expect([(await plan(booked.id!)).state, Date.parse(booked.end) - Date.parse(booked.start)]).toEqual(['waiting', 20 * 60_000]);
    const before = (await plan(booked.id!)).due.getTime();
    expect(await siu('S13', 'AP-1', 24 * 30)).toBe('AA');
    expect((await plan(booked.id!)).due.getTime() - before).toBeGreaterThan(9 * 24 * 3_600_000);
    expect(await siu('S15', 'AP-1', 24 * 30, 'PATIENT ILL')).toBe('AA');
    expect([(await plan(booked.id!)).state, (await appointmentOf('AP-1')).cancelationReason.text]).toEqual([
      'cancelled',
      'PATIENT ILL',
    ]);
    expect(await siu('S14', 'AP-1', 24 * 31)).toBe('AA');
    const again = await appointmentOf('AP-1');
    expect([again.id, again.status, again.cancelationReason, (await plan(booked.id!)).state]).toEqual([
      booked.id,
      'booked',
      undefined,
      'waiting',
    ]);
    expect(await siu('S26', 'AP-1', 24 * 31)).toBe('AA');
    expect([(await appointmentOf('AP-1')).status, (await plan(booked.id!)).state]).toEqual(['noshow', 'cancelled']);
    const wrong = hl7('SIU^S12', ['SCH||AP-2|||||||||^^^20261301', pid('B-1')]);
    const [answer = []] = await his.send(wrong);
    expect([codeOf(answer), answer[2]?.split('|')[2]]).toEqual(['AR', 'SCH^1^11^^4']);
    const { rows } = await hub.db.pool.query("select reason, detail from quarantine where custodian_id = $1 and state = 'held'", [
      B.id,
    ]);
    expect(rows).toEqual([{ reason: 'invalid-record', detail: 'SCH-11.4: The value is no date.' }]);
    his.end();
  });

  it('is of the hospital’s own patient, and seen there only', async () => {
    const { body } = await call(system, 'get', '/fhir/Appointment?date=ge2020');
    expect(body.entry.length).toBeGreaterThan(2);
    const one = body.entry[0].resource;
    expect((await call(await hub.system(A.id), 'get', `/fhir/Appointment/${one.id}`)).status).toBe(404);
    const foreign = {
      ...appointment(2),
      participant: [{ actor: { reference: `Patient/${patients.a.id}` }, status: 'accepted' }],
    };
    expect((await call(system, 'post', '/fhir/Appointment', foreign)).status).toBe(422);
    expect((await call(system, 'get', `/fhir/Appointment?patient=${patients.b.id}&status=booked`)).status).toBe(200);
  });

  it('brings nothing where the hospital has not opted in, and its record is checked', async () => {
    const record = { id: 'hospital-z', name: 'Z', assigner: 'urn:oid:2.25.9' };
    const kept = { kind: 'folder', settings: { root: received() } };
    const config = { secret: TEST_SECRET, utcOffset: '+08:00' };
    await expect(addHospital(hub.db, { ...record, sources: [{ ...kept, prefetch: {} }] }, config)).rejects.toMatchObject({
      status: 400,
    });
    await addHospital(
      hub.db,
      { ...record, sources: [{ ...kept, store: true, prefetch: {}, issuers: { patientId: 'Z' } }] },
      config,
    );
    const [row] = (await hub.db.pool.query("select settings from connector where id = 'hospital-z.1'")).rows;
    expect(row.settings).toMatchObject({
      store: true,
      prefetch: { most: 3, years: 5, hoursBefore: 24 },
      issuers: { patientId: 'Z' },
    });
  });
});
