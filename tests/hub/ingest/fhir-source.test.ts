import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { createConnector } from '../../../connectors/index.js';
import { createOutbound } from '../../../connectors/outbound.js';
import { registerClient } from '../../../hub/access/authentication/accounts.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { createResources, deleteResource, findResource, toResource, updateResource } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { ctStudy, studyUid, until } from '../delivery/hospitals.js';
import { type Client, clientOf, made, series } from '../security/world.js';

const assigner = 'urn:oid:1.2.3.1';
let hub: RunningHub;
/** The hospital's FHIR server: another hub, which is one. */
let his: RunningHub;
let east: Client;
let there: Client;

beforeAll(async () => {
  [hub, his] = await Promise.all([startHub({ config: { pollSeconds: 60 } }), startHub()]);
  for (const one of [hub, his]) await one.join([{ id: 'east', assigner }]);
  east = clientOf(hub, await hub.system('east'));
  there = clientOf(his, await his.system('east'));
});
afterAll(() => Promise.all([hub?.stop(), his?.stop()]));

const outboundForTests = createOutbound({ allowedNetworks: ['127.0.0.0/8'] });
afterAll(() => outboundForTests.close());

const all = async (type: string): Promise<(FhirResource & { id: string })[]> =>
  ((await east.get(`/fhir/${type}?_count=200`)).body.entry ?? []).map((e: { resource: FhirResource }) => e.resource);
const stateOf = async (id: string) =>
  (
    await hub.db.query<{ cursor: string | null; last_error: string | null }>(
      sql`select cursor, last_error from connector where id = ${id}`,
    )
  )[0];
const held = () =>
  hub.db.query<{ locator: string; reason: string; detail: string }>(
    sql`select locator, reason, detail from quarantine where state = 'held' order by locator`,
  );

describe('a hospital’s FHIR server', () => {
  const token = () => his.system('east');
  let patient: FhirResource & { id: string };
  let report: FhirResource & { id: string };

  it('is read to its end, with ids of the hub in the place of its own', async () => {
    patient = made(await there.post(samplePatient(assigner, 'E-1')));
    for (let i = 2; i <= 7; i += 1) made(await there.post(samplePatient(assigner, `E-${i}`)));
    const order = made(
      await there.post({
        resourceType: 'ServiceRequest',
        status: 'active',
        intent: 'order',
        subject: { reference: `Patient/${patient.id}` },
      }),
    );
    const study = made(
      await there.post(sampleStudy(patient.id, { series: [series()], basedOn: [{ reference: `ServiceRequest/${order.id}` }] })),
    );
    const about = { subject: { reference: `Patient/${patient.id}` }, status: 'final', code: { text: 'CT' } };
    const finding = made(
      await there.post({
        resourceType: 'Observation',
        valueString: 'nodule',
        derivedFrom: [{ reference: `ImagingStudy/${study.id}` }],
        ...about,
      }),
    );
    report = made(
      await there.post({
        resourceType: 'DiagnosticReport',
        imagingStudy: [{ reference: `ImagingStudy/${study.id}` }],
        result: [{ reference: `Observation/${finding.id}` }],
        resultsInterpreter: [{ display: '王芳' }],
        ...about,
      }),
    );
    await addSource(
      hub.db,
      {
        id: 'east.fhir',
        organizationId: 'east',
        kind: 'fhir',
        settings: {
          baseUrl: `${his.url}/fhir`,
          pageSize: 2,
          fullListingHours: 1e-9,
          auth: { kind: 'bearer', token: await token() },
          endpoints: [{ baseUrl: `${his.url}/dicomweb`, auth: { kind: 'bearer', token: await token() } }],
        },
      },
      'secret-of-the-tests-only',
    );
    await hub.hub.sources.idle();
    expect([await stateOf('east.fhir'), await held()]).toMatchObject([{ last_error: null }, []]);
    expect(await all('Patient')).toHaveLength(7);
    const [[here], [s], [o], [r], [q]] = [
      (await all('Patient')).filter((p) => p.identifier[0].value === 'E-1'),
      await all('ImagingStudy'),
      await all('Observation'),
      await all('DiagnosticReport'),
      await all('ServiceRequest'),
    ];
    expect(here?.id).not.toBe(patient.id);
    for (const one of [s, o, r, q]) expect(one?.subject.reference).toBe(`Patient/${here?.id}`);
    expect([r?.imagingStudy[0].reference, r?.result[0].reference, s?.basedOn[0].reference]).toEqual([
      `ImagingStudy/${s?.id}`,
      `Observation/${o?.id}`,
      `ServiceRequest/${q?.id}`,
    ]);
  });

  it('is asked for what changed, from where it was read, and nothing is doubled', async () => {
    const versions = async () =>
      hub.db.query(sql`select type, version from resource where custodian_id = 'east' order by type, version`);
    const before = await versions();
    await hub.hub.sources.reindex('east.fhir');
    await hub.hub.sources.idle();
    expect(await versions()).toEqual(before);
    await there.put({ ...patient, birthDate: '1970-01-03' });
    await there.put({ ...report, status: 'amended', conclusion: 'seen again' });
    made(await there.post(samplePatient(assigner, 'E-8')));
    await hub.hub.sources.idle();
    const [changed] = (await all('Patient')).filter((p) => p.identifier[0].value === 'E-1');
    expect([changed?.birthDate, (await all('DiagnosticReport'))[0]?.conclusion, (await all('Patient')).length]).toEqual([
      '1970-01-03',
      'seen again',
      8,
    ]);
  });

  /** The record of the hub's that this one became. */
  const here = async (type: string, sourceId: string | undefined): Promise<string> =>
    (
      await hub.db.query<{ id: string }>(
        sql`select id from source_record where connector_id = 'east.fhir' and type = ${type} and source_id = ${sourceId ?? ''}`,
      )
    )[0]?.id ?? '';
  const discard = (type: string, id: string) =>
    his.db.transaction(async (tx) => {
      const row = await findResource(tx, type, id);
      await deleteResource(tx, row!, toResource(row!));
    });

  it('that has a record no longer is followed: 410, its history stays, and one that comes back is the same', async () => {
    const reportId = await here('DiagnosticReport', report.id);
    await discard('DiagnosticReport', report.id);
    await hub.hub.sources.idle();
    expect((await east.get(`/fhir/DiagnosticReport/${reportId}`)).status).toBe(410);
    expect(await all('DiagnosticReport')).toEqual([]);
    expect((await east.get(`/fhir/DiagnosticReport/${reportId}/_history`)).body.entry[0].request.method).toBe('DELETE');
    const [entry] = await hub.db.query(
      sql`select action, outcome, detail, role, purpose, rule is not null as decided from audit_event where type = 'ingest' and entity = ${[`DiagnosticReport/${reportId}`]}::text[] order by recorded desc, id desc limit 1`,
    );
    expect(entry).toEqual({
      ...{ action: 'D', outcome: 0, detail: 'FHIR DiagnosticReport' },
      ...{ role: 'hospital-system', purpose: 'HOPERAT', decided: true },
    });
    const gone = await findResource(his.db, 'DiagnosticReport', report.id);
    await updateResource(his.db, { resource: { ...toResource(gone!), conclusion: 'again' }, custodianId: 'east' }, gone!.version);
    await hub.hub.sources.idle();
    expect((await east.get(`/fhir/DiagnosticReport/${reportId}`)).body.conclusion).toBe('again');
    expect(await held()).toEqual([]);
  });

  it('that has a Patient no longer keeps nobody’s consents: he is inactive; his described study is gone', async () => {
    const [study] = (await there.get('/fhir/ImagingStudy')).body.entry;
    const studyId = await here('ImagingStudy', study.resource.id);
    const [someone] = (await there.get(`/fhir/Patient?identifier=${assigner}|E-3`)).body.entry;
    await discard('ImagingStudy', study.resource.id);
    await discard('Patient', someone.resource.id);
    await hub.hub.sources.idle();
    expect((await east.get(`/fhir/ImagingStudy/${studyId}`)).status).toBe(410);
    const [entry] = await hub.db.query(
      sql`select action, role, purpose, rule is not null as decided from audit_event where subtype = 'study-removed' and entity = ${[`ImagingStudy/${studyId}`]}::text[]`,
    );
    expect(entry).toEqual({ action: 'D', role: 'hospital-system', purpose: 'HOPERAT', decided: true });
    expect((await east.get(`/fhir/Patient/${await here('Patient', someone.resource.id)}`)).body.active).toBe(false);
  });

  it('two of whose Patients are one are merged here, as by A40', async () => {
    const of = async (number: string) =>
      (await there.get(`/fhir/Patient?identifier=${assigner}|${number}`)).body.entry[0].resource as FhirResource & { id: string };
    const [survivor, retired] = [await of('E-5'), await of('E-6')];
    const order = made(
      await there.post({
        resourceType: 'ServiceRequest',
        status: 'active',
        intent: 'order',
        subject: { reference: `Patient/${retired.id}` },
      }),
    );
    await hub.hub.sources.idle();
    await there.put({
      ...retired,
      active: false,
      link: [{ other: { reference: `Patient/${survivor.id}` }, type: 'replaced-by' }],
    });
    await hub.hub.sources.idle();
    const [kept, given] = [await here('Patient', survivor.id), await here('Patient', retired.id)];
    const orderId = await here('ServiceRequest', order.id);
    expect((await east.get(`/fhir/ServiceRequest/${orderId}`)).body.subject.reference).toBe(`Patient/${kept}`);
    const merged = await hub.db.query(sql`select survivor_id, kind from patient_merge where custodian_id = 'east'`);
    expect(merged).toEqual([{ survivor_id: kept, kind: 'merge' }]);
    await there.put({ ...survivor, birthDate: '1970-01-05' });
    await hub.hub.sources.idle();
    expect((await east.get(`/fhir/Patient/${kept}`)).body).toMatchObject({
      birthDate: '1970-01-05',
      link: [{ type: 'replaces' }],
    });
    expect([given === kept || given !== '', await held()]).toEqual([true, []]);
    // the one that was given up, and the order
    await discard('Patient', retired.id);
    await discard('ServiceRequest', order.id);
    await hub.hub.sources.idle();
    expect((await east.get(`/fhir/Patient/${kept}`)).body.active).not.toBe(false);
    expect((await east.get(`/fhir/ServiceRequest/${orderId}`)).status).toBe(410);
    const [, calledOff] = (await east.get(`/fhir/ServiceRequest/${orderId}/_history`)).body.entry;
    expect([calledOff.resource.status, await held()]).toEqual(['entered-in-error', []]);
  });

  it('whose ImagingStudy has an Endpoint has its images indexed and retrieved by it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fhir-source-'));
    try {
      for (const [i, bytes] of ctStudy(1, 'E-20', 5).entries()) await writeFile(join(folder, `${i}.dcm`), bytes);
      await createResources(his.db, [
        {
          resource: {
            resourceType: 'Endpoint',
            id: 'images',
            status: 'active',
            connectionType: { system: 'http://terminology.hl7.org/CodeSystem/endpoint-connection-type', code: 'dicom-wado-rs' },
            payloadType: [{ text: 'DICOM' }],
            managingOrganization: { reference: 'Organization/east' },
            address: `${his.url}/dicomweb`,
          },
          custodianId: '',
        },
      ]);
      await addSource(his.db, { id: 'his.folder', organizationId: 'east', kind: 'folder', settings: { root: folder } });
      await his.hub.sources.idle();
      await hub.hub.sources.idle();
      const path = `/dicomweb/studies/${studyUid(1)}`;
      const whole = await east.get(path);
      expect([whole.status, (await east.get(`${path}/metadata`)).body.length, await held()]).toEqual([200, 5, []]);
      const rows = await hub.db.query<{ locator: string }>(
        sql`select locator from imaging_instance where custodian_id = 'east' and study_instance_uid = ${studyUid(1)} and connector_id = 'east.fhir'`,
      );
      expect(rows).toHaveLength(5);
      expect(rows.every(({ locator }) => locator.startsWith('Endpoint/images/studies/'))).toBe(true);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('whose Endpoint leads to a server that the record does not name is not followed there', async () => {
    const [row] = await his.db.query<{ version: number }>(
      sql`select version from resource where type = 'Endpoint' and id = 'images'`,
    );
    const endpoint = toResource((await findResource(his.db, 'Endpoint', 'images'))!);
    const other: string[] = [];
    const archive = createServer((request, response) => {
      other.push(request.url ?? '');
      response.end();
    });
    await new Promise<void>((resolve) => archive.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(archive.address() as AddressInfo).port}/dicomweb`;
    await updateResource(his.db, { resource: { ...endpoint, address }, custodianId: '' }, row!.version);
    expect((await east.get(`/dicomweb/studies/${studyUid(1)}`)).status).toBe(502);
    expect(other).toEqual([]);
    archive.close();
  });
});

describe('a FHIR server that asks for SMART Backend Services', () => {
  it('gets an assertion that the hub signed, once for many requests; the key is nowhere in clear', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES384', { extractable: true });
    const kid = await calculateJwkThumbprint(await exportJWK(publicKey));
    const key = await exportJWK(privateKey);
    await registerClient(his.db, {
      id: 'federation-hub',
      organizationId: 'east',
      name: 'the hub',
      jwks: { keys: [{ ...((await exportJWK(publicKey)) as object), kid, use: 'sig' } as never] },
      roles: ['hospital-system'],
      scope: 'system/*.rs',
    });
    await hub.join([{ id: 'north', assigner: 'urn:oid:1.2.3.4' }]);
    const settings = {
      baseUrl: `${his.url}/fhir`,
      types: ['Patient', 'Appointment'],
      pageSize: 1,
      numberSystem: assigner,
      auth: { kind: 'smart', clientId: 'federation-hub', privateKey: key },
    };
    const [someone] = (await there.get(`/fhir/Patient?identifier=${assigner}|E-1`)).body.entry;
    made(
      await there.post({
        resourceType: 'Appointment',
        status: 'booked',
        start: '2030-01-02T09:00:00+08:00',
        end: '2030-01-02T09:20:00+08:00',
        participant: [{ actor: { reference: `Patient/${someone.resource.id}` }, status: 'accepted' }],
      }),
    );
    await addSource(hub.db, { id: 'north.fhir', organizationId: 'north', kind: 'fhir', settings }, 'secret-of-the-tests-only');
    await hub.hub.sources.idle();
    expect(await stateOf('north.fhir')).toMatchObject({ last_error: null });
    const found = await hub.db.query(sql`select id from resource where type = 'Patient' and custodian_id = 'north'`);
    expect(found.length).toBeGreaterThan(5);
    const north = clientOf(hub, await hub.system('north'));
    const { entry: booked } = (await north.get('/fhir/Appointment')).body;
    const person = (await north.get(`/fhir/${booked[0].resource.participant[0].actor.reference}`)).body;
    expect([booked.length, person.identifier[0].value]).toEqual([1, 'E-1']);
    const issued = await his.db.query(
      sql`select id from audit_event where agent = 'Client/federation-hub' and outcome = 0 and subtype like '%token%'`,
    );
    expect(issued).toHaveLength(1);
    const stored = await hub.db.query(
      sql`select settings::text as s, encode(secrets, 'escape') as c from connector where id = 'north.fhir'`,
    );
    expect(JSON.stringify(stored)).not.toContain(key.d);
  });

  it.each<[string, object, RegExp]>([
    ['a key that the server does not know', {}, /^refused: The token endpoint refuses the hub \(40[01], invalid_client\)\.$/],
    [
      'a scope that it does not give',
      { scope: 'system/*.cruds', clientId: 'federation-hub' },
      /^refused: The token endpoint refuses/,
    ],
    ['a token endpoint that is not there', { tokenUrl: 'http://127.0.0.1:1/token' }, /^unreachable/],
  ])('%s: its reading ends with the reason, and with no secret', async (_what, more, reason) => {
    const { privateKey } = await generateKeyPair('RS384', { extractable: true });
    const auth = { kind: 'smart', clientId: 'nobody', privateKey: await exportJWK(privateKey), ...more };
    const source = createConnector('fhir', { baseUrl: `${his.url}/fhir`, auth }, { outbound: outboundForTests });
    const read = async () => {
      for await (const _ of source.changes(undefined, AbortSignal.timeout(10_000))) void _;
    };
    const error = await read().then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(`${error?.code}: ${error?.message}`).toMatch(reason);
  });

  it('and names a token endpoint at another origin has nothing posted there', async () => {
    const posted: string[] = [];
    const serving = async (): Promise<[Server, string]> => {
      const one = createServer((request, response) => {
        if (request.method === 'POST') posted.push(request.url ?? '');
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ token_endpoint: `${elsewhere}/tools/shutdown` }));
      });
      await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
      return [one, `http://127.0.0.1:${(one.address() as AddressInfo).port}`];
    };
    let elsewhere = '';
    const [other, otherUrl] = await serving();
    const [server, url] = await serving();
    elsewhere = otherUrl;
    try {
      const { privateKey } = await generateKeyPair('ES384', { extractable: true });
      const auth = { kind: 'smart', clientId: 'hub', privateKey: await exportJWK(privateKey) };
      const source = createConnector('fhir', { baseUrl: `${url}/fhir`, auth }, { outbound: outboundForTests });
      const read = source.changes(undefined, AbortSignal.timeout(10_000))[Symbol.asyncIterator]();
      await expect(read.next()).rejects.toMatchObject({ code: 'bad-response', message: expect.stringContaining('own origin') });
      expect(posted).toEqual([]);
    } finally {
      for (const one of [other, server]) {
        one.closeAllConnections();
        one.close();
      }
    }
  });
});

it('what was handed on and could not be taken is handed on again', async () => {
  const outbound = createOutbound({ allowedNetworks: ['127.0.0.0/8'] });
  const auth = { kind: 'bearer', token: await his.system('east') };
  const source = createConnector('fhir', { baseUrl: `${his.url}/fhir`, auth, types: ['Patient'], pageSize: 3 }, { outbound });
  const since = '{"Patient":"2020-01-01T00:00:00Z"}';
  const read = async (most: number): Promise<string[]> => {
    const found: string[] = [];
    for await (const change of source.changes(since, AbortSignal.timeout(10_000))) {
      if (change.kind === 'statement') found.push(change.statement.locator);
      if (found.length === most) break; // as when the database goes away
    }
    return found;
  };
  const first = await read(2);
  const whole = await read(100);
  expect([first.length, whole.length, whole.slice(0, 2)]).toEqual([2, 7, first]);
  expect(await read(100)).toEqual([]);
  await outbound.close();
});

describe('a server that keeps a history, and whose tokens are revoked', () => {
  const numbers = Array.from({ length: 30 }, (_, i) => `k${i}`);
  const deleted = new Set<string>();
  const revoked = new Set<string>();
  const asked: string[] = [];
  let issued = 0;
  let server: Server;
  let baseUrl = '';
  afterAll(async () => {
    await hub.db.query(sql`update connector set enabled = false where id = 'south.fhir'`);
    await hub.hub.sources.idle();
    await hub.db.query(sql`delete from quarantine where custodian_id = 'south'`);
    server?.closeAllConnections();
    server?.close();
  });
  const patientOf = (id: string) => ({
    ...samplePatient('urn:oid:1.2.3.5', id),
    id,
    meta: { versionId: '1', lastUpdated: '2026-01-01T00:00:00Z' },
  });
  const answer = (url: string): [status: number, body: object] => {
    const path = url.replace(/\?.*/, '');
    asked.push(path);
    const bundle = (type: string, entry: object[]) => ({
      resourceType: 'Bundle',
      type,
      meta: { lastUpdated: new Date().toISOString() },
      entry,
    });
    if (path === '/fhir/metadata') {
      const resource = [{ type: 'Patient', interaction: [{ code: 'read' }, { code: 'history-type' }] }];
      return [200, { resourceType: 'CapabilityStatement', rest: [{ mode: 'server', resource }] }];
    }
    if (path === '/fhir/Patient/_history') {
      // one that is there after all
      const gone = [...deleted, 'k29'].map((id) => ({
        fullUrl: `${baseUrl}/Patient/${id}`,
        request: { method: 'DELETE', url: `Patient/${id}` },
      }));
      return [200, bundle('history', [{ resource: patientOf('k1'), request: { method: 'PUT', url: 'Patient/k1' } }, ...gone])];
    }
    if (path === '/fhir/Patient')
      return [
        200,
        bundle(
          'searchset',
          numbers.filter((id) => !deleted.has(id)).map((id) => ({ resource: patientOf(id) })),
        ),
      ];
    const id = path.split('/').at(-1) ?? '';
    return deleted.has(id)
      ? [410, { resourceType: 'OperationOutcome' }]
      : numbers.includes(id)
        ? [200, patientOf(id)]
        : [404, {}];
  };
  const inactive = async (): Promise<number> =>
    (
      await hub.db.query(
        sql`select id from resource where type = 'Patient' and custodian_id = 'south' and content ->> 'active' = 'false'`,
      )
    ).length;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const send = (status: number, body: object): void =>
        void response.writeHead(status, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(body));
      if (request.url === '/token') {
        issued += 1;
        return send(200, { access_token: `t${issued}`, token_type: 'Bearer', expires_in: 600 });
      }
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      if (!/^t\d$/.test(token) || revoked.has(token)) return send(401, {});
      return send(...answer(request.url ?? ''));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    baseUrl = `${origin}/fhir`;
    const { privateKey } = await generateKeyPair('ES384', { extractable: true });
    const auth = { kind: 'smart', clientId: 'hub', privateKey: await exportJWK(privateKey), tokenUrl: `${origin}/token` };
    await hub.join([{ id: 'south', assigner: 'urn:oid:1.2.3.5' }]);
    const settings = { baseUrl, types: ['Patient'], auth };
    await addSource(hub.db, { id: 'south.fhir', organizationId: 'south', kind: 'fhir', settings }, 'secret-of-the-tests-only');
    await hub.hub.sources.idle();
  });

  it('tells what was deleted; what it has all the same stays; a revoked token is got anew', async () => {
    expect([issued, await inactive(), await stateOf('south.fhir')]).toMatchObject([1, 0, { last_error: null }]);
    deleted.add('k1').add('k2');
    revoked.add('t1');
    await hub.hub.sources.idle();
    expect([issued, await inactive(), await stateOf('south.fhir')]).toMatchObject([2, 2, { last_error: null }]);
    expect(asked.filter((path) => path === '/fhir/metadata')).toHaveLength(1);
  });

  it('that loses much within a day has the rest confirmed by a person', async () => {
    for (const id of numbers.slice(0, 15)) deleted.add(id);
    const unconfirmed = () =>
      hub.db.query<{ id: string; locator: string }>(
        sql`select id, locator from quarantine where custodian_id = 'south' and state = 'held' and reason = 'removal-unconfirmed' order by locator`,
      );
    await hub.hub.sources.idle();
    const items = await until(async () => {
      const now = await unconfirmed();
      return now.length === 5 && now;
    });
    expect(await inactive()).toBe(10);
    await hub.enrol({ username: 'south-admin', role: 'hospital-administrator', organizationId: 'south' });
    const { status, body } = await hub
      .http()
      .post(`/quarantine/${items[0]?.id}/retry`)
      .set('authorization', `Bearer ${await hub.person('south-admin')}`);
    expect([status, body.state, await inactive()]).toEqual([200, 'resolved', 11]);
  });
});

it('what was deleted before its history was looked at is found, however much it is, and though it seemed to be another server', async () => {
  const there = ['k'];
  const server = createServer((request, response) => {
    const path = (request.url ?? '').replace(/\?.*/, '');
    const entry = path === '/fhir/Patient' ? there.map((id) => ({ resource: { resourceType: 'Patient', id } })) : [];
    const interaction = [{ code: 'history-type' }];
    const body = path.endsWith('/metadata')
      ? { resourceType: 'CapabilityStatement', rest: [{ resource: [{ type: 'Patient', interaction }] }] }
      : { resourceType: 'Bundle', type: 'searchset', entry };
    response.writeHead(/^\/fhir\/Patient\/x/.test(path) ? 404 : 200, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const held = new Set(['k', ...Array.from({ length: 1_001 }, (_, i) => `x${i}`)]);
  const index = { studies: noPages, instances: noPages, records: () => pagesOf([...held]) };
  const settings = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`,
    types: ['Patient'],
    fullListingHours: 1e-9,
  };
  const source = createConnector('fhir', settings, { outbound: outboundForTests });
  let cursor: string | undefined;
  const look = async (): Promise<[gone: number, unread: number]> => {
    let [gone, unread] = [0, 0];
    for await (const change of source.changes(cursor, AbortSignal.timeout(20_000), index)) {
      if (change.kind === 'checkpoint') cursor = change.cursor;
      if (change.kind === 'unreadable') unread += 1;
      const step = change.kind === 'statement' && change.statement.steps[0];
      if (step && step.kind === 'record-gone' && held.delete(step.id.replace('Patient/', ''))) gone += 1;
    }
    return [gone, unread];
  };
  there.pop();
  const asAnother = await look();
  there.push('k');
  expect([asAnother, await look(), await look(), await look()]).toEqual([
    [0, 1],
    [1_000, 0],
    [1, 0],
    [0, 0],
  ]);
  server.closeAllConnections();
  server.close();
});

async function* pagesOf<T>(...pages: T[]): AsyncGenerator<T> {
  yield* pages;
}
const noPages = () => pagesOf<never>();

describe('a FHIR server that answers wrongly', () => {
  let server: Server | undefined;
  let asked: string[] = [];
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    asked = [];
  });
  type Answer = (request: IncomingMessage, response: ServerResponse, base: string) => unknown;
  const json = (response: ServerResponse, body: unknown): void =>
    void response.setHeader('content-type', 'application/fhir+json').end(JSON.stringify(body));
  const bundle = (base: string, entry: unknown[] = [], next?: string) => ({
    resourceType: 'Bundle',
    type: 'searchset',
    entry,
    ...(next ? { link: [{ relation: 'next', url: next.replace('BASE', base) }] } : {}),
  });
  let number = 0;
  const read = async (answer: Answer, more: object = {}): Promise<string | null | undefined> => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      answer(request, response, `http://${request.headers.host}/fhir`);
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const id = `east.wrong-${++number}`;
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`;
    await addSource(hub.db, { id, organizationId: 'east', kind: 'fhir', settings: { baseUrl, types: ['Patient'], ...more } });
    for (let i = 0; i < 100; i += 1) {
      await hub.hub.sources.idle();
      const state = await stateOf(id);
      if (state?.last_error || asked.length > 0) {
        await hub.db.query(sql`update connector set enabled = false where id = ${id}`);
        return state?.last_error;
      }
    }
    return undefined;
  };

  it.each<[string, Answer, RegExp, object]>([
    ['pages in a circle', (_, r, base) => json(r, bundle(base, [], 'BASE/Patient?page=1')), /circle/, {}],
    [
      'a next page elsewhere',
      (_, r, base) => json(r, bundle(base, [], 'http://127.0.0.1:1/fhir/Patient?page=2')),
      /not its own/,
      {},
    ],
    [
      'a next page outside its base',
      (_, r, base) => json(r, bundle(base, [], `${base.replace('/fhir', '')}/admin`)),
      /not its own/,
      {},
    ],
    ['a redirect', (_, r) => r.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /redirect/, {}],
    ['no Bundle', (_, r) => json(r, { resourceType: 'Patient' }), /no Bundle/, {}],
    ['a list where an object is due', (_, r) => json(r, []), /no Bundle/, {}],
    ['entries that are none', (_, r) => json(r, { resourceType: 'Bundle', entry: 'x' }), /no Bundle/, {}],
    ['a page for people', (_, r) => r.setHeader('content-type', 'text/html').end('<html>'), /text\/html/, {}],
    [
      'a body without end',
      (_, r) => r.setHeader('content-type', 'application/json').end(`"${'x'.repeat(300_000)}"`),
      /longer than/,
      { maxJsonBytes: 100_000 },
    ],
    ['silence', () => undefined, /timeout/, { timeouts: { headersMs: 200 } }],
  ])('%s: its reading ends with the reason', async (_what, answer, reason, more) => {
    expect(await read(answer, more)).toMatch(reason);
    expect(asked.length).toBeLessThan(20);
  });

  it('bad records are held with the element named, and the others are taken', async () => {
    const entry = [
      {
        resource: { resourceType: 'Patient', id: 'bad', identifier: [{ system: assigner, value: 'BAD-1' }], birthDate: 'SECRET' },
      },
      { resource: { resourceType: 'Patient', id: '../etc', name: [] } },
      { resource: null },
      'x',
      { resource: { ...samplePatient(assigner, 'GOOD-1'), id: 'good' } },
    ];
    expect(await read((_, r, base) => json(r, bundle(base, entry)))).toBeNull();
    const items = (await held()).filter((i) => i.locator.startsWith('Patient'));
    expect(items).toEqual([
      { locator: 'Patient/bad', reason: 'invalid-record', detail: expect.stringContaining('Patient.birthDate') },
      { locator: 'Patient?', reason: 'invalid-record', detail: expect.stringContaining('3 entries') },
    ]);
    expect(JSON.stringify(items)).not.toContain('SECRET');
    expect((await all('Patient')).some((p) => p.identifier?.[0].value === 'GOOD-1')).toBe(true);
  });
});
