import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Database, Queryable } from '../../../hub/store/database.js';
import { sql } from '../../../hub/store/sql.js';
import { referenceToken } from '../../../hub/store/reference-token.sql.js';
import { tokenKey } from '../../../hub/store/tokens.js';
import { samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { testDatabase } from '../../support/test-database.js';
import { type Client, clientOf, made, series } from '../security/world.js';

const ASSIGNER = 'urn:oid:1.2.826.0.1.3680043.10.1451.23';
let hub: RunningHub;
let client: Client;
/** Names of this file for ids of the hub. */
const names = new Map<string, string>();

beforeAll(async () => {
  hub = await startHub();
  await hub.join([{ id: 'hospital-a', assigner: ASSIGNER }], 'union');
  client = clientOf(hub, await hub.system('hospital-a'));
  const create = async (name: string, resource: object) => {
    const { resourceType, id } = made(await client.post(resource));
    names.set(id, name);
    return { reference: `${resourceType}/${id}` };
  };
  const li = await create(
    'li',
    samplePatient(ASSIGNER, 'L1', { managingOrganization: { reference: 'Organization/hospital-a' } }),
  );
  const han = await create(
    'han',
    samplePatient(ASSIGNER, 'L2', { name: [{ text: '韩梅梅' }], gender: 'female', birthDate: undefined }),
  );
  const about = (subject: object, more: object) => ({ status: 'final', code: { text: 'x' }, subject, ...more });
  const order = await create('order', { resourceType: 'ServiceRequest', intent: 'order', ...about(li, { status: 'active' }) });
  const chest = { code: '51185008', system: 'http://snomed.info/sct' };
  const ct = await create('ct', sampleStudy('', { subject: li, basedOn: [order], series: [series({ bodySite: chest })] }));
  await create('mr', sampleStudy('', { subject: han, modality: undefined, series: [series()] }));
  const size = await create('size', {
    resourceType: 'Observation',
    ...about(li, { derivedFrom: [ct], effectiveDateTime: '2026-05-07' }),
  });
  const volume = { ...about(li, { derivedFrom: [size], status: 'preliminary' }) };
  await create('volume', { resourceType: 'Observation', ...volume });
  await create('report', { resourceType: 'DiagnosticReport', ...about(li, { result: [size], basedOn: [order] }) });
});
afterAll(() => hub.stop());

interface Entry {
  resource: { resourceType: string; id: string; [element: string]: unknown };
  search: { mode: string };
}

const entries = async (path: string): Promise<Entry[]> => {
  const { status, body, text } = await client.get(`/fhir/${path}`, { prefer: 'handling=strict' });
  if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
  return body.entry ?? [];
};
const nameOf = ({ resource }: Entry): string => names.get(resource.id) ?? resource.id ?? resource.resourceType;
const found = async (path: string, mode = 'match'): Promise<string[]> =>
  (await entries(path))
    .filter((e) => e.search.mode === mode)
    .map(nameOf)
    .sort();
const refusal = async (path: string) => {
  const { status, body } = await client.get(`/fhir/${path}`, { prefer: 'handling=strict' });
  return { status, code: body.issue?.[0].code };
};

describe('what records refer to, and what refers to them', () => {
  it.each([
    // chains
    ['ImagingStudy?patient.name=lilei', ['ct']],
    ['ImagingStudy?subject:Patient.birthdate=1970', ['ct']],
    ['ImagingStudy?patient.gender:not=male', ['mr']],
    ['ImagingStudy?patient.birthdate:missing=true', ['mr']],
    ['ImagingStudy?patient._id=nobody', []],
    ['ImagingStudy?basedon.status=active', ['ct']],
    ['ImagingStudy?basedon.status=completed', []],
    ['ImagingStudy?basedon.patient.name=lilei', ['ct']],
    ['ImagingStudy?patient.identifier=L2', ['mr']],
    ['ImagingStudy?patient.organization.name=hospital-a', ['ct']],
    ['Patient?organization:Organization.name=hospital', ['li']],
    ['Observation?derived-from.status=final', ['volume']],
    ['Observation?derived-from:ImagingStudy.modality=CT', ['size']],
    ['Observation?derived-from:Observation.derived-from:ImagingStudy.basedon.status=active', ['volume']],
    // _has
    ['Patient?_has:ImagingStudy:patient:modality=CT', ['han', 'li']],
    ['Patient?_has:Observation:patient:status=final', ['li']],
    ['ImagingStudy?_has:Observation:derived-from:status=final', ['ct']],
    ['ImagingStudy?_has:Observation:derived-from:status=preliminary', []],
    ['ImagingStudy?_has:Observation:derived-from:_has:DiagnosticReport:result:status=final', ['ct']],
    ['ImagingStudy?_has:Observation:derived-from:patient.name=lilei', ['ct']],
    ['ServiceRequest?_has:ImagingStudy:basedon:_has:Observation:derived-from:date=ge2026', ['order']],
    ['Organization?_has:Patient:organization:gender=male', ['hospital-a']],
    // :not, :missing, types of references
    ['Patient?gender:not=male', ['han']],
    ['Patient?gender:not=male,female', []],
    ['Observation?status:not=final', ['volume']],
    ['ImagingStudy?bodysite:missing=true', ['mr']],
    ['ImagingStudy?bodysite:missing=false', ['ct']],
    ['ImagingStudy?basedon:missing=true', ['mr']],
    ['ImagingStudy?modality:missing=true', []],
    ['ImagingStudy?_security:missing=false', []],
    ['Patient?birthdate:missing=true', ['han']],
    ['Observation?date:missing=true', ['volume']],
    ['Observation?category:missing=false', []],
    ['ImagingStudy?subject:missing=false', ['ct', 'mr']],
  ])('%s', async (path, expected) => expect(await found(path)).toEqual(expected));

  it('is taken by id with the type of the reference as modifier', async () => {
    const [order] = await entries('ServiceRequest?status=active');
    expect(await found(`ImagingStudy?basedon:ServiceRequest=${order?.resource.id}`)).toEqual(['ct']);
    expect(await found(`ImagingStudy?_id:not=${order?.resource.id}`)).toEqual(['ct', 'mr']);
  });

  it.each([
    ['ImagingStudy?_revinclude=Observation:derived-from', ['size']],
    ['ImagingStudy?_revinclude:iterate=Observation:derived-from', ['size', 'volume']],
    ['ImagingStudy?_include=ImagingStudy:basedon&_include:iterate=Patient:organization', ['order']],
    ['ImagingStudy?_include=ImagingStudy:patient&_include:iterate=Patient:organization', ['han', 'hospital-a', 'li']],
    [
      'Patient?_revinclude=ImagingStudy:patient&_revinclude:iterate=Observation:derived-from&_include:iterate=ImagingStudy:basedon',
      ['ct', 'mr', 'order', 'size', 'volume'],
    ],
    [
      'ServiceRequest?_revinclude=DiagnosticReport:based-on&_include:iterate=DiagnosticReport:result:Observation',
      ['report', 'size'],
    ],
    ['Observation?status=preliminary&_include=Observation:derived-from:ImagingStudy', []],
  ])('%s', async (path, expected) => expect(await found(path, 'include')).toEqual(expected));

  it('is refused beyond its bounds, and where the parameter is none', async () => {
    expect(await refusal('Organization?partof.partof.partof.name=x')).toEqual({ status: 200, code: undefined });
    for (const [path, code] of [
      ['Organization?partof.partof.partof.partof.name=x', 'not-supported'],
      [
        'ImagingStudy?_has:Observation:derived-from:_has:Observation:derived-from:_has:Observation:derived-from:_has:Observation:derived-from:status=x',
        'not-supported',
      ],
      [`Task?${Array(13).fill('owner.name=x').join('&')}`, 'not-supported'],
      ['ImagingStudy?patient.nothing=x', 'not-supported'],
      ['ImagingStudy?patient:Organization.name=x', 'not-supported'],
      ['ImagingStudy?_has:Observation:device:status=final', 'not-supported'],
      ['ImagingStudy?_has:constructor:patient:status=final', 'not-supported'],
      ['ImagingStudy?modality:text=CT', 'not-supported'],
      ['Patient?name:exact=x', 'not-supported'],
      ['Patient?name:not=x', 'not-supported'],
      ['ImagingStudy?bodysite:missing=perhaps', 'invalid'],
      ['ImagingStudy?patient.birthdate=x', 'invalid'],
      ['ImagingStudy?_revinclude=Observation:device', 'not-supported'],
      ['ImagingStudy?_include=Observation:device', 'not-supported'],
      ['ImagingStudy?_include=*', 'not-supported'],
      ['ImagingStudy?_elements=status,series.uid', 'invalid'],
      ['ImagingStudy?_summary=yes', 'invalid'],
      ['ImagingStudy?_summary=text&_include=ImagingStudy:patient', 'invalid'],
    ] as const)
      expect([path, await refusal(path)]).toEqual([path, { status: 400, code }]);
  });

  it('is warned of in lenient handling where it is not understood', async () => {
    const { body } = await client.get('/fhir/ImagingStudy?modality:text=CT');
    const outcome = body.entry.find((e: Entry) => e.search.mode === 'outcome').resource;
    expect(outcome.issue).toMatchObject([{ severity: 'warning', code: 'not-supported', expression: ['modality:text'] }]);
    expect(outcome.issue[0].diagnostics).toContain(':text');
  });

  it('says when not everything is included', async () => {
    const parents = Array.from({ length: 8 }, (_, i) => `parent-${i}`);
    const registry = clientOf(hub, await hub.system('commission', 'hub-administrator'));
    for (const [i, id] of parents.entries()) {
      const partOf = i > 0 ? { partOf: { reference: `Organization/parent-${i - 1}` } } : {};
      const answer = await registry.put({ resourceType: 'Organization', id, active: true, name: id, ...partOf });
      expect(answer.status).toBe(201);
    }
    const up = await entries('Organization?_id=parent-7&_include:iterate=Organization:partof');
    expect(up.map((e) => e.resource.id ?? e.resource.issue)).toEqual([
      'parent-7',
      'parent-6',
      'parent-5',
      'parent-4',
      'parent-3',
      [expect.objectContaining({ severity: 'warning', code: 'too-costly' })],
    ]);
    expect(await found('Organization?_id=parent-3&_include:iterate=Organization:partof', 'outcome')).toEqual([]);
  });
});

describe('a search that takes the database too long', () => {
  /** Every statement takes longer than it may. */
  const slow = (db: Database): Database => {
    const on = (tx: Queryable): Queryable => ({
      query: (statement) => tx.query(sql`select slow.* from (${statement}) slow, (select pg_sleep(1)) pause`),
    });
    const snapshot: Database['snapshot'] = (work) =>
      db.snapshot(async (tx) => {
        await tx.query(sql`set local statement_timeout = 20`);
        return work(on(tx));
      });
    return { ...db, query: (statement) => snapshot((tx) => tx.query(statement)), snapshot };
  };
  it('is refused where it follows references, and is an outage where it does not', async () => {
    const database = await testDatabase();
    const usual = await startHub({ database });
    const asked = clientOf(usual, await usual.system('commission', 'hub-administrator'));
    await asked.get('/fhir/Organization');
    const { query, snapshot } = database.db;
    Object.assign(database.db, slow({ ...database.db }));
    const answers = [await asked.get('/fhir/Organization?partof.name=x'), await asked.get('/fhir/Organization?name=x')];
    Object.assign(database.db, { query, snapshot });
    await usual.stop();
    await database.close();
    expect(answers.map(({ status, body }) => [status, body.issue[0].code])).toEqual([
      [400, 'too-costly'],
      [503, 'transient'],
    ]);
  });
});

describe('parts of resources', () => {
  const one = async (more: string) => (await entries(`ImagingStudy?basedon:missing=false&${more}`))[0]?.resource;
  const SUBSETTED = { code: 'SUBSETTED' };
  it('_elements gives those and the mandatory ones, marked as a part', async () => {
    const study = await one('_elements=description,started');
    expect(Object.keys(study ?? {}).sort()).toEqual(['id', 'meta', 'resourceType', 'started', 'status', 'subject']);
    expect(study).toMatchObject({ meta: { versionId: '1', tag: [SUBSETTED] } });
  });
  it('_elements leaves what is included whole, and takes a choice by its name', async () => {
    const [match, included] = await entries('Observation?status=final&_elements=effective&_include=Observation:derived-from');
    expect(Object.keys(match?.resource ?? {}).sort()).toEqual([
      'code',
      'effectiveDateTime',
      'id',
      'meta',
      'resourceType',
      'status',
    ]);
    expect(included?.resource).toHaveProperty('series');
    expect(included?.resource).not.toMatchObject({ meta: { tag: [SUBSETTED] } });
  });
  it('_summary gives what R4 marks as summary, inside elements too', async () => {
    const study = await one('_summary=true');
    expect(study).toMatchObject({ meta: { tag: [SUBSETTED] }, started: expect.anything(), series: [{ uid: expect.anything() }] });
    expect(JSON.stringify(study)).not.toContain('sopClass');
    expect(study).not.toHaveProperty('extension');
    expect(Object.keys((await one('_summary=text')) ?? {}).sort()).toEqual(['id', 'meta', 'resourceType', 'status', 'subject']);
    expect(await one('_summary=data')).toMatchObject({ meta: { tag: [SUBSETTED] }, series: [{}] });
    expect(await one('_summary=false')).not.toMatchObject({ meta: { tag: [SUBSETTED] } });
  });
  it('are not taken back as the whole', async () => {
    const patient = (await entries('Patient?name=lilei&_elements=name'))[0]?.resource;
    const answer = await client.put(patient as never);
    expect([answer.status, answer.body.issue[0].expression]).toEqual([422, ['Patient.meta.tag']]);
  });
});

describe('a reference that a statement finds', () => {
  it.each(['1', 'x'.repeat(11), 'x'.repeat(12), 'x'.repeat(64)])('has the token that it is indexed by (%s)', async (id) => {
    const [row] = await hub.db.query<{ token: string }>(
      sql`select ${referenceToken('basedon', 'Organization', sql`${id}::text`)} as token`,
    );
    expect(row?.token).toBe(tokenKey(`basedon=Organization/${id}`));
  });
});
