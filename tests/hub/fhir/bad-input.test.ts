import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bundleOf, post, samplePatient, sampleStudy } from '../../support/fhir-samples.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';

const ASSIGNER = 'urn:oid:1.2.826.0.1.3680043.10.1451.21';
let hub: RunningHub;
let token: string;
let patientId: string;

beforeAll(async () => {
  hub = await startHub();
  await hub.join([{ id: 'hospital-a', assigner: ASSIGNER }]);
  token = await hub.system('hospital-a');
  patientId = (await submit('Patient', samplePatient(ASSIGNER, '1'))).body.id;
});
afterAll(() => hub.stop());

// sent by fetch: supertest would write a Buffer as JSON
const send = async (path: string, body: string | Buffer, type = 'application/fhir+json') => {
  const answer = await fetch(`${hub.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': type },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, text, body: JSON.parse(text), headers: Object.fromEntries(answer.headers) };
};
const submit = (type: string, resource: object) => send(`/fhir/${type}`, JSON.stringify(resource));
const get = (path: string) => hub.http().get(path).set('authorization', `Bearer ${token}`);
const count = async (): Promise<number> => JSON.parse((await get('/fhir/ImagingStudy?_summary=count')).text).total;

function expectRefused(
  answer: { status: number; text: string; headers: Record<string, string> },
  status: number,
  expression?: string,
): void {
  const outcome = JSON.parse(answer.text);
  expect({ status: answer.status, type: outcome.resourceType }).toEqual({ status, type: 'OperationOutcome' });
  expect(answer.headers['content-type']).toMatch(/^application\/fhir\+json/);
  if (expression)
    expect(outcome.issue.flatMap((i: { expression?: string[] }) => i.expression ?? []).join(' ')).toContain(expression);
}

describe('bad input is refused with an OperationOutcome that names the element, and nothing lands', () => {
  it('malformed JSON', async () => expectRefused(await send('/fhir/Patient', '{"resourceType":"Patient",'), 400));
  it('JSON that is not an object', async () => expectRefused(await send('/fhir/Patient', '[1]'), 400));
  it('bytes that are not UTF-8', async () =>
    expectRefused(await send('/fhir/Patient', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])), 400));
  it('another content type', async () =>
    expectRefused(await send('/fhir/Patient', '<Patient/>', 'application/fhir+xml'), 400, 'Content-Type'));
  it('another resource type than the path', async () =>
    expectRefused(await submit('Patient', sampleStudy(patientId)), 400, 'resourceType'));
  it('a type that the hub does not have', async () => expectRefused(await submit('Basic', { resourceType: 'Basic' }), 404));
  it('nesting of 10,000 levels', async () =>
    expectRefused(
      await send('/fhir/Patient', `{"resourceType":"Patient","extension":${'['.repeat(10_000)}${']'.repeat(10_000)}}`),
      400,
    ));
  it('a NUL in a string', async () =>
    expectRefused(
      await submit('Patient', samplePatient(ASSIGNER, '2', { name: [{ text: 'a\u0000b' }] })),
      422,
      'Patient.name[0].text',
    ));
  it('a date that does not exist', async () =>
    expectRefused(await submit('ImagingStudy', sampleStudy(patientId, { started: '2024-02-30' })), 422, 'ImagingStudy.started'));
  it('a code outside a required binding', async () =>
    expectRefused(await submit('ImagingStudy', sampleStudy(patientId, { status: 'bogus' })), 422, 'ImagingStudy.status'));
  it('an element that FHIR does not have', async () =>
    expectRefused(await submit('Patient', samplePatient(ASSIGNER, '2', { examNo: 1 })), 422, 'Patient.examNo'));
  it('a reference to nowhere', async () =>
    expectRefused(await submit('ImagingStudy', sampleStudy('none')), 422, 'ImagingStudy.subject'));
  it('an identifier that another patient of the hospital has', async () => {
    const other = samplePatient(ASSIGNER, '1', { name: [{ text: '韩梅梅' }], gender: 'female', birthDate: '1980-01-01' });
    expectRefused(await submit('Patient', other), 409, 'identifier');
  });
  it('a national identifier whose check digit is wrong', async () => {
    const identifier = [
      { system: ASSIGNER, value: '77' },
      { system: 'urn:oid:2.16.156.10011.1.3', value: '990101197001020010' },
    ];
    expectRefused(await submit('Patient', samplePatient(ASSIGNER, '77', { identifier })), 422, 'identifier');
  });

  it('a bundle of 100 MB', async () => {
    const answer = await send('/fhir', Buffer.alloc(100 * 1024 * 1024, 0x20));
    expectRefused(answer, 413);
    expect((await get('/healthz')).status).toBe(200);
  });
  it('too many entries', async () =>
    expectRefused(
      await send(
        '/fhir',
        JSON.stringify(
          bundleOf(
            'batch',
            Array.from({ length: 1001 }, () => post(samplePatient(ASSIGNER, '1'))),
          ),
        ),
      ),
      413,
    ));

  it('a bad entry in a transaction: nothing lands', async () => {
    const before = await count();
    const answer = await send(
      '/fhir',
      JSON.stringify(bundleOf('transaction', [post(sampleStudy(patientId)), post(sampleStudy(patientId, { status: 'bogus' }))])),
    );
    expectRefused(answer, 422, 'Bundle.entry[1].resource.status');
    expect(await count()).toBe(before);
  });
  it('a reference to nowhere deep in a transaction: nothing lands', async () => {
    const before = await count();
    const answer = await send(
      '/fhir',
      JSON.stringify(bundleOf('transaction', [post(sampleStudy(patientId)), post(sampleStudy('nobody'))])),
    );
    expectRefused(answer, 422, 'Bundle.entry[1]');
    expect(await count()).toBe(before);
  });
  it('a bad entry in a batch: the rest lands', async () => {
    const before = await count();
    const answer = await send(
      '/fhir',
      JSON.stringify(
        bundleOf('batch', [
          post(sampleStudy(patientId)),
          post(sampleStudy(patientId, { started: '2024-13' })),
          post(sampleStudy(patientId)),
        ]),
      ),
    );
    const bundle = JSON.parse(answer.text);
    expect(bundle.entry.map((e: { response: { status: string } }) => e.response.status)).toEqual(['201', '422', '201']);
    expect(bundle.entry[1].response.outcome.issue[0].expression).toEqual(['ImagingStudy.started']);
    expect(await count()).toBe(before + 2);
  });
  it('entries without a request, with a foreign url, or twice', async () => {
    expectRefused(
      await send('/fhir', JSON.stringify(bundleOf('transaction', [{ resource: samplePatient(ASSIGNER, '5') }]))),
      422,
      'Bundle.entry[0].request',
    );
    expectRefused(
      await send(
        '/fhir',
        JSON.stringify(bundleOf('transaction', [{ request: { method: 'GET', url: 'https://elsewhere.example/Patient' } }])),
      ),
      400,
      'Bundle.entry[0].request.url',
    );
    const twice = { ...post(samplePatient(ASSIGNER, '6')), fullUrl: 'urn:uuid:6a0b1c8e-0000-4000-8000-000000000001' };
    expectRefused(await send('/fhir', JSON.stringify(bundleOf('transaction', [twice, twice]))), 400, 'Bundle.entry[1]');
  });
});

describe('bad searches', () => {
  it('an unknown parameter: an error in strict handling, reported in lenient', async () => {
    expectRefused(await get('/fhir/ImagingStudy?frobnicate=1').set('prefer', 'handling=strict'), 400, 'frobnicate');
    const lenient = JSON.parse((await get('/fhir/ImagingStudy?frobnicate=1')).text);
    expect(lenient.entry.at(-1)).toMatchObject({
      search: { mode: 'outcome' },
      resource: { issue: [{ severity: 'warning', expression: ['frobnicate'] }] },
    });
    expect(lenient.link[0].url).not.toContain('frobnicate');
  });
  it.each([
    'started=2024-02-30',
    'started=yesterday',
    '_count=many',
    '_sort=colour',
    '_include=ImagingStudy:nothing',
    '_total=perhaps',
    'patient=a/b/c',
  ])('%s', async (query) => expectRefused(await get(`/fhir/ImagingStudy?${query}`), 400, query.split('=')[0]));
  it('a value of 1 MB, posted', async () => {
    const answer = await send(
      '/fhir/ImagingStudy/_search',
      `identifier=${'x'.repeat(1024 * 1024)}`,
      'application/x-www-form-urlencoded',
    );
    expectRefused(answer, 400, 'identifier');
  });
  it('a value of 1 MB in the address', async () => {
    const answer = await get(`/fhir/ImagingStudy?identifier=${'x'.repeat(1024 * 1024)}`).catch((error: { code?: string }) => ({
      status: error.code,
    }));
    expect([431, 414, 400, 'ECONNRESET', 'EPIPE']).toContain(answer.status);
  });
  it('a cursor that was tampered with, or belongs to another search or caller', async () => {
    for (let i = 0; i < 3; i += 1) await submit('ImagingStudy', sampleStudy(patientId));
    const first = JSON.parse((await get('/fhir/ImagingStudy?_count=1')).text);
    const next = new URL(first.link.find((l: { relation: string }) => l.relation === 'next').url);
    const cursor = next.searchParams.get('_cursor') ?? '';
    expect((await get(`/fhir/ImagingStudy?_count=1&_cursor=${cursor}`)).status).toBe(200);
    const flipped = `${cursor.startsWith('A') ? 'B' : 'A'}${cursor.slice(1)}`;
    expectRefused(await get(`/fhir/ImagingStudy?_count=1&_cursor=${flipped}`), 400, '_cursor');
    expectRefused(await get(`/fhir/ImagingStudy?_count=1&modality=MR&_cursor=${cursor}`), 400, '_cursor');
    const other = await hub.system('hospital-a', 'hospital-system', 'HOPERAT');
    expectRefused(
      await hub.http().get(`/fhir/ImagingStudy?_count=1&_cursor=${cursor}`).set('authorization', `Bearer ${other}`),
      400,
      '_cursor',
    );
  });
});
