import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bundleOf, post, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const ASSIGNER = 'urn:oid:1.2.826.0.1.3680043.10.1451.22';
let hub: RunningHub;
let token: string;

beforeAll(async () => {
  hub = await startHub();
  await hub.join([{ id: 'hospital-a', assigner: ASSIGNER }]);
  token = await hub.system('hospital-a');
});
afterAll(() => hub.stop());

const client = () => hub.fhir(token);
const newPatient = async (body: object) =>
  (await client().create({ resourceType: 'Patient', body: body as never })) as unknown as {
    id: string;
    meta: { versionId: string };
  };
const get = async (path: string) => {
  const answer = await hub.http().get(path).set('authorization', `Bearer ${token}`);
  return { status: answer.status, headers: answer.headers, body: answer.text ? JSON.parse(answer.text) : undefined };
};
const put = async (path: string, body: object, headers: Record<string, string> = {}) => {
  const answer = await hub
    .http()
    .put(path)
    .set({ authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json', ...headers })
    .send(JSON.stringify(body));
  return { status: answer.status, body: JSON.parse(answer.text) };
};

describe('the CapabilityStatement is true', () => {
  it('every search parameter that it states is taken in strict handling, and every type can be searched', async () => {
    const statement = (await get('/fhir/metadata')).body;
    const auditor = await hub.system('commission', 'auditor', 'HCOMPL');
    const taken = async (type: string, query: string): Promise<number> => {
      const used = type === 'AuditEvent' ? auditor : token;
      return (
        await hub
          .http()
          .get(`/fhir/${type}?${query}`)
          .set({ authorization: `Bearer ${used}`, prefer: 'handling=strict' })
      ).status;
    };
    const listed = (kind: string, documentation = ''): string[] =>
      new RegExp(`${kind}: ([^.]*)\\.`).exec(documentation)?.[1]?.split(', ') ?? [];
    for (const { type, searchParam, searchInclude = [], searchRevInclude = [] } of statement.rest[0].resource) {
      const asked: string[] = [
        ...searchInclude.map((value: string) => `_include=${value}`),
        ...searchRevInclude.map((value: string) => `_revinclude=${value}`),
      ];
      for (const { name, type: kind, documentation } of searchParam) {
        const value = name === 'outcome' ? '0' : name === 'action' ? 'R' : kind === 'date' ? '2026' : 'x';
        asked.push(`${name}=${value}`);
        for (const modifier of listed('Modifiers', documentation))
          asked.push(`${name}:${modifier}=${modifier === 'missing' ? 'true' : value}`);
        for (const target of listed('Chains', documentation)) asked.push(`${name}:${target}._id=x`);
      }
      for (const query of asked) expect([type, query, await taken(type, query)]).toEqual([type, query, 200]);
    }
  });
  it('states each way of asking about references that works', async () => {
    const statement = (await get('/fhir/metadata')).body;
    const study = statement.rest[0].resource.find((r: { type: string }) => r.type === 'ImagingStudy');
    expect(study.searchInclude).toEqual([
      'ImagingStudy:patient',
      'ImagingStudy:subject',
      'ImagingStudy:basedon',
      'ImagingStudy:endpoint',
    ]);
    expect(study.searchRevInclude).toEqual(['Observation:derived-from', 'Task:focus', 'Provenance:target']);
    const said = (name: string) => study.searchParam.find((p: { name: string }) => p.name === name).documentation;
    expect(said('status')).toBe('Modifiers: not, missing.');
    expect(said('basedon')).toBe('Modifiers: missing, ServiceRequest. Chains: ServiceRequest.');
  });
  it('states no interaction that the hub keeps to itself', async () => {
    const statement = (await get('/fhir/metadata')).body;
    for (const { type, interaction } of statement.rest[0].resource) {
      const codes = interaction.map((i: { code: string }) => i.code);
      const answer = await hub
        .http()
        .post(`/fhir/${type}`)
        .set({ authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' })
        .send(JSON.stringify({ resourceType: type }));
      expect({ type, refusedAsUnknown: answer.status === 405 }).toEqual({ type, refusedAsUnknown: !codes.includes('create') });
    }
  });
});

describe('versions', () => {
  it('read, update, vread, history, and If-Match', async () => {
    const created = await newPatient(samplePatient(ASSIGNER, 'p2'));
    expect(created.meta.versionId).toBe('1');
    const path = `/fhir/Patient/${created.id}`;
    const read = await get(path);
    expect(read.headers.etag).toBe('W/"1"');
    expect(
      (
        await hub
          .http()
          .get(path)
          .set({ authorization: `Bearer ${token}`, 'if-none-match': 'W/"1"' })
      ).status,
    ).toBe(304);
    const changed = { ...read.body, telecom: [{ system: 'phone', value: '12345' }] };
    expect((await put(path, changed, { 'if-match': 'W/"1"' })).body.meta.versionId).toBe('2');
    expect((await put(path, changed, { 'if-match': 'W/"1"' })).status).toBe(412);
    expect((await get(`${path}/_history/1`)).body).not.toHaveProperty('telecom');
    expect((await get(`${path}/_history/2`)).body.telecom).toHaveLength(1);
    expect((await get(`${path}/_history/3`)).status).toBe(404);
    const history = (await get(`${path}/_history`)).body;
    expect(history.entry.map((e: { resource: { meta: { versionId: string } } }) => e.resource.meta.versionId)).toEqual([
      '2',
      '1',
    ]);
  });
  it('of ten parallel updates of one version exactly one is taken', async () => {
    const created = await newPatient(samplePatient(ASSIGNER, 'p3'));
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        put(
          `/fhir/Patient/${created.id}`,
          { ...samplePatient(ASSIGNER, 'p3', { telecom: [{ system: 'phone', value: `${i}` }] }), id: created.id },
          { 'if-match': 'W/"1"' },
        ),
      ),
    );
    expect(answers.map((a) => a.status).sort()).toEqual([200, ...Array(9).fill(412)]);
  });
});

describe('conditional writes by identifier', () => {
  const criteria = (number: string): string => `identifier=${encodeURIComponent(`${ASSIGNER}|${number}`)}`;
  it('twenty parallel conditional creates make one Patient', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        hub
          .http()
          .post('/fhir/Patient')
          .set({ authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json', 'if-none-exist': criteria('c1') })
          .send(JSON.stringify(samplePatient(ASSIGNER, 'c1'))),
      ),
    );
    expect(answers.map((a) => a.status).sort()).toEqual([...Array(19).fill(200), 201]);
    expect(new Set(answers.map((a) => JSON.parse(a.text).id)).size).toBe(1);
  });
  it('a conditional update creates, then updates', async () => {
    const first = await put(`/fhir/Patient?${criteria('c2')}`, samplePatient(ASSIGNER, 'c2'));
    const second = await put(
      `/fhir/Patient?${criteria('c2')}`,
      samplePatient(ASSIGNER, 'c2', { telecom: [{ system: 'phone', value: '9' }] }),
    );
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body).toMatchObject({ id: first.body.id, meta: { versionId: '2' } });
  });
});

describe('transactions', () => {
  it('resolve references between their entries, and answer in order', async () => {
    const patient = { ...post(samplePatient(ASSIGNER, 't1')), fullUrl: 'urn:uuid:2b1d0f5e-0000-4000-8000-000000000002' };
    const study = post({ ...sampleStudy('x'), subject: { reference: patient.fullUrl } });
    const answer = (await client().transaction({ body: bundleOf('transaction', [study, patient]) as never })) as unknown as {
      entry: { resource: { resourceType: string; id: string; subject?: { reference: string } } }[];
    };
    expect(answer.entry.map((e) => e.resource.resourceType)).toEqual(['ImagingStudy', 'Patient']);
    expect(answer.entry[0]?.resource.subject?.reference).toBe(`Patient/${answer.entry[1]?.resource.id}`);
  });
});

describe('batches', () => {
  it('take a search whose value holds a question mark as it is', async () => {
    const entry = [{ request: { method: 'GET', url: 'Patient?identifier=a?b' } }];
    const answer = (await client().batch({ body: bundleOf('batch', entry) as never })) as unknown as {
      entry: { resource: { link: { url: string }[] } }[];
    };
    expect(answer.entry[0]?.resource.link[0]?.url).toContain('identifier=a%3Fb');
  });
});

describe('search', () => {
  let of: string;
  const found = async (query: string): Promise<string[]> =>
    ((await get(`/fhir/ImagingStudy?patient=${of}&${query}`)).body.entry ?? [])
      .filter((e: { search: { mode: string } }) => e.search.mode === 'match')
      .map((e: { resource: { description: string } }) => e.resource.description)
      .sort();
  beforeAll(async () => {
    of = (await newPatient(samplePatient(ASSIGNER, 's1'))).id;
    const studies: [string, object][] = [
      ['year', { started: '2024' }],
      ['month', { started: '2024-06', modality: [{ system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'MR' }] }],
      ['leap', { started: '2024-02-29' }],
      ['instant', { started: '2024-02-29T23:30:00+08:00' }],
      ['undated', { started: undefined, status: 'registered' }],
    ];
    await client().transaction({
      body: bundleOf(
        'transaction',
        studies.map(([description, more]) => post(sampleStudy(of, { description, ...more }))),
      ) as never,
    });
  });
  it.each([
    ['started=2024', ['instant', 'leap', 'month', 'year']],
    ['started=2024-02-29', ['instant', 'leap']],
    ['started=ge2024-06', ['month', 'year']],
    ['started=gt2024-06', ['year']],
    ['started=lt2024-02', ['year']],
    ['started=sa2024-02-28', ['instant', 'leap', 'month']],
    ['started=eb2024-06', ['instant', 'leap']],
    ['started=ne2024-02-29', ['month', 'year']],
    ['started=ge2024-03&started=lt2024-07', ['month', 'year']],
    ['modality=MR', ['month']],
    ['modality=http://dicom.nema.org/resources/ontology/DCM|MR,CT', ['instant', 'leap', 'month', 'undated', 'year']],
    ['modality=MR&modality=CT', []],
    ['status=registered', ['undated']],
    ['status=registered,available&modality=MR', ['month']],
  ])('%s', async (query, expected) => expect(await found(query)).toEqual(expected));
  it('counts what it would find', async () => {
    const counted = (await get(`/fhir/ImagingStudy?patient=${of}&_summary=count`)).body;
    expect(counted).toMatchObject({ total: 5 });
    expect(counted).not.toHaveProperty('entry');
    expect((await get(`/fhir/ImagingStudy?patient=${of}&_count=2&_total=accurate`)).body).toMatchObject({
      total: 5,
      entry: [{}, {}],
    });
  });
  it('includes what the matches refer to, once', async () => {
    const { body } = await get(`/fhir/ImagingStudy?patient=${of}&_include=ImagingStudy:patient`);
    expect(
      body.entry
        .filter((e: { search: { mode: string } }) => e.search.mode === 'include')
        .map((e: { resource: { id: string } }) => e.resource.id),
    ).toEqual([of]);
  });
  it('finds a patient by characters and by pinyin', async () => {
    for (const name of ['李', '李雷', 'li', 'lilei', 'LEI'])
      expect({
        name,
        total: (await get(`/fhir/Patient?name=${encodeURIComponent(name)}&_id=${of}&_summary=count`)).body.total,
      }).toEqual({ name, total: 1 });
    expect((await get(`/fhir/Patient?name=wang&_id=${of}&_summary=count`)).body.total).toBe(0);
  });
  it('POST _search answers like GET', async () => {
    const answer = await hub
      .http()
      .post('/fhir/ImagingStudy/_search')
      .set('authorization', `Bearer ${token}`)
      .type('form')
      .send({ patient: of, modality: 'MR' });
    expect(JSON.parse(answer.text).entry).toHaveLength(1);
  });
});

describe('paging', () => {
  it('shows every row once and in order, whatever the page size, order and undated rows (property)', async () => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.option(fc.constantFrom('2023', '2024-05', '2024-05-06', '2024-05-06T08:00:00Z'), { nil: undefined }), {
          maxLength: 9,
        }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('started', '-started', '_lastUpdated', '-_lastUpdated', '_id'),
        async (dates, size, sort) => {
          n += 1;
          const of = (await newPatient(samplePatient(ASSIGNER, `page${n}`))).id;
          if (dates.length > 0)
            await client().transaction({
              body: bundleOf(
                'transaction',
                dates.map((started) => post(sampleStudy(of, { started }))),
              ) as never,
            });
          const all = ((await get(`/fhir/ImagingStudy?patient=${of}&_count=100&_sort=${sort}`)).body.entry ?? []).map(
            (e: { resource: { id: string } }) => e.resource.id,
          );
          const paged: string[] = [];
          let next: string | undefined = `/fhir/ImagingStudy?patient=${of}&_count=${size}&_sort=${sort}`;
          while (next) {
            const { body } = await get(next);
            paged.push(...(body.entry ?? []).map((e: { resource: { id: string } }) => e.resource.id));
            const link: { url: string } | undefined = body.link.find((l: { relation: string }) => l.relation === 'next');
            next = link?.url.slice(hub.url.length);
          }
          expect(paged).toEqual(all);
          expect(new Set(all).size).toBe(dates.length);
        },
      ),
      { numRuns: 15 },
    );
  });
});
