import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createConnector } from '../../../connectors/index.js';
import { createOutbound } from '../../../connectors/outbound.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
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
        settings: { baseUrl: `${his.url}/fhir`, pageSize: 2, auth: { kind: 'bearer', token: await token() } },
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
  expect([first.length, whole.length, whole.slice(0, 2)]).toEqual([2, 8, first]);
  expect(await read(100)).toEqual([]);
  await outbound.close();
});

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
