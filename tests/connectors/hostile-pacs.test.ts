import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { instancesOf, never, read } from './support/changes.js';
import {
  type Answer,
  type HostilePacs,
  hang,
  hangAfterHeaders,
  html,
  huge,
  json,
  metadata,
  paged,
  redirect,
  seriesEntry,
  startHostilePacs,
  studyEntry,
} from './support/hostile-pacs.js';
import { bytesOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
let pacs: HostilePacs;

afterEach(() => pacs.stop());
afterAll(() => outbound.close());

async function connect(answers: Record<string, Answer>, settings: object = {}) {
  pacs = await startHostilePacs(answers);
  const limits = { timeouts: { headersMs: 1_000, idleMs: 1_000 }, maxJsonBytes: 1_000_000 };
  return createConnector('dicomweb', { baseUrl: pacs.url, ...limits, ...settings }, { outbound });
}

/** A study of one series with so many instances. */
function study(uid: string, instances: number, claimed = instances): { entry: object; answers: Record<string, Answer> } {
  const all = Array.from({ length: instances }, (_, i) => metadata(uid, `${uid}.1`, `${uid}.1.${i + 1}`));
  return {
    entry: studyEntry(uid, claimed),
    answers: {
      [`studies/${uid}/series`]: paged([seriesEntry(`${uid}.1`)]),
      [`studies/${uid}/series/${uid}.1/metadata`]: json(all),
    },
  };
}

function pacsOf(...studies: { entry: object; answers: Record<string, Answer> }[]): Record<string, Answer> {
  return Object.assign({ studies: paged(studies.map((one) => one.entry)) }, ...studies.map((one) => one.answers));
}

describe('a source that fails as a whole', () => {
  it.each([
    ['answers HTML', html, 'bad-response'],
    ['redirects', redirect, 'bad-response'],
    ['sends too much', huge, 'bad-response'],
    ['hangs', hang, 'timeout'],
    ['stops in the middle', hangAfterHeaders, 'timeout'],
    ['answers an object', json({ error: 'no' }), 'bad-response'],
    ['refuses', ((_, response) => response.writeHead(401).end()) as Answer, 'refused'],
    ['is busy', ((_, response) => response.writeHead(503).end()) as Answer, 'unreachable'],
    ['breaks off', ((_, response) => response.destroy()) as Answer, 'unreachable'],
  ])('%s: the reading stops with the reason, and the cursor stays where it was', async (_, answer, code) => {
    const connector = await connect({ studies: answer });
    await expect(read(connector)).rejects.toMatchObject({ name: 'SourceError', code });
    expect(await connector.health(never())).toMatchObject({ reachable: false });
  });

  it('is left alone after repeated failures', async () => {
    const connector = await connect({ studies: (_, response) => response.destroy() });
    for (let i = 0; i < 10; i += 1) await expect(read(connector)).rejects.toMatchObject({ code: 'unreachable' });
    expect(pacs.asked).toHaveLength(5);
  });

  it('that is down is unreachable', async () => {
    const connector = await connect({});
    await pacs.stop();
    await expect(read(connector)).rejects.toMatchObject({ code: 'unreachable' });
    pacs = await startHostilePacs({});
  });
});

describe('a source with a bad item', () => {
  const good = study('1.2.1', 2);
  const last = study('1.2.3', 1);

  it.each([
    ['answers HTML', html],
    ['hangs', hang],
    ['stops in the middle', hangAfterHeaders],
    ['sends too much', huge],
    ['redirects', redirect],
    ['does not know it', ((_, response) => response.writeHead(404).end()) as Answer],
    ['answers no JSON', ((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{')) as Answer],
  ])('%s: the item is kept with its reason and the others are read', async (_, answer) => {
    const bad = { entry: studyEntry('1.2.2'), answers: { 'studies/1.2.2/series': answer } };
    const { studies, unreadable, cursor } = await read(await connect(pacsOf(good, bad, last)));
    expect(studies.map((one) => one.studyInstanceUid)).toEqual(['1.2.1', '1.2.3']);
    expect(unreadable).toMatchObject([{ locator: 'studies/1.2.2', studyInstanceUid: '1.2.2', reason: 'source-error' }]);
    expect(JSON.parse(cursor ?? '')).toMatchObject({ qido: { fullAt: expect.any(Number) } });
  });

  it('claims more instances than it lists: what is there is taken, the mismatch is shown and can be retried', async () => {
    const answers = pacsOf(study('1.2.1', 2, 5));
    const connector = await connect(answers);
    const { studies, unreadable } = await read(connector);
    expect(instancesOf(studies)).toHaveLength(2);
    expect(studies[0]?.claimedInstances).toBe(5);
    expect(unreadable).toMatchObject([
      { locator: 'studies/1.2.1', reason: 'count-mismatch', detail: 'The source claims 5 instances of this study and lists 2.' },
    ]);
    expect(await connector.retry({ locator: 'studies/1.2.1' }, never())).toMatchObject({
      kind: 'unreadable',
      item: { reason: 'count-mismatch' },
    });
    answers['studies/1.2.1/series/1.2.1.1/metadata'] = study('1.2.1', 5).answers['studies/1.2.1/series/1.2.1.1/metadata']!;
    const again = await connector.retry({ locator: 'studies/1.2.1' }, never());
    expect(again.kind === 'study' && instancesOf([again.study])).toHaveLength(5);
  });

  it('repeats a count that the objects carry themselves: it is handed on, and no mismatch', async () => {
    const instance = metadata('1.2.1', '1.2.1.1', '1.2.1.1.1', { '00201208': { vr: 'IS', Value: [4] } });
    const echo = {
      ...study('1.2.1', 1, 4),
      answers: { ...study('1.2.1', 1).answers, 'studies/1.2.1/series/1.2.1.1/metadata': json([instance]) },
    };
    const { studies, unreadable } = await read(await connect(pacsOf(echo)));
    expect([studies[0]?.claimedInstances, unreadable]).toEqual([4, []]);
  });

  it('has bad instances in a good series', async () => {
    const entries = [
      metadata('1.2.1', '1.2.1.1', '1.2.1.1.1'),
      metadata('1.2.1', '1.2.1.1', 'not a uid'),
      metadata('1.9', '1.2.1.1', '1.2.1.1.3'),
      { '00080018': { vr: 'UI' } },
      'nonsense',
      null,
      { '0020000D': 5, '00080018': { Value: { a: 1 } } },
    ];
    const odd = {
      entry: studyEntry('1.2.1'),
      answers: { ...study('1.2.1', 1).answers, 'studies/1.2.1/series/1.2.1.1/metadata': json(entries) },
    };
    const { studies, unreadable } = await read(await connect(pacsOf(odd, last)));
    expect(instancesOf(studies).map((one) => one.sopInstanceUid)).toEqual(['1.2.1.1.1', '1.2.3.1.1']);
    expect(unreadable.map((item) => item.reason)).toEqual([
      'invalid-uid',
      'malformed',
      'missing-identifier',
      'missing-identifier',
    ]);
  });

  it('fails on a series whose instances can be had one by one', async () => {
    const single = (n: number) => ({
      [`studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.${n}/metadata`]: json([metadata('1.2.1', '1.2.1.1', `1.2.1.1.${n}`)]),
    });
    const list = {
      'studies/1.2.1/series/1.2.1.1/instances': paged(
        [1, 2, 3].map((n) => ({ '00080018': { vr: 'UI', Value: [`1.2.1.1.${n}`] } })),
      ),
    };
    const broken = {
      entry: studyEntry('1.2.1', 3),
      answers: {
        ...study('1.2.1', 3).answers,
        'studies/1.2.1/series/1.2.1.1/metadata': html,
        ...list,
        ...single(1),
        ...single(3),
      },
    };
    const { studies, unreadable } = await read(await connect(pacsOf(broken)));
    expect(instancesOf(studies).map((one) => one.sopInstanceUid)).toEqual(['1.2.1.1.1', '1.2.1.1.3']);
    expect(unreadable).toMatchObject([{ locator: 'studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.2', reason: 'source-error' }]);
  });

  it('lists a study without an identifier', async () => {
    const { studies, unreadable } = await read(await connect(pacsOf({ entry: {}, answers: {} }, last)));
    expect(studies).toHaveLength(1);
    expect(unreadable).toMatchObject([{ locator: 'studies?offset=0', reason: 'missing-identifier' }]);
  });

  it('nests its metadata without end', async () => {
    const shallow = JSON.stringify([metadata('1.2.1', '1.2.1.1', '1.2.1.1.1')]);
    const deep = `${'{"00400011":{"vr":"SQ","Value":['.repeat(5_000)}${']}}'.repeat(5_000)}`;
    const answer: Answer = (_, response) => {
      const body = shallow.replace(/\}\]$/, `,"00400011":{"vr":"SQ","Value":[${deep}]}}]`);
      response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(body);
    };
    const answers = { ...study('1.2.1', 1).answers, 'studies/1.2.1/series/1.2.1.1/metadata': answer };
    const odd = { entry: studyEntry('1.2.1'), answers };
    expect((await read(await connect(pacsOf(odd)))).unreadable).toMatchObject([{ reason: 'too-large' }]);
  });
});

describe('a source without a change log', () => {
  it('is paged to its end, also when it ignores the offset', async () => {
    const many = Array.from({ length: 250 }, (_, i) => study(`1.2.${i + 1}`, 1));
    const connector = await connect(pacsOf(...many));
    expect((await read(connector)).studies).toHaveLength(250);
    await pacs.stop();
    const stubborn = await connect({ ...pacsOf(...many), studies: json(many.map((one) => one.entry)) });
    expect((await read(stubborn)).studies).toHaveLength(250);
  });

  it('is read on from a cursor in the middle of a listing', async () => {
    const many = Array.from({ length: 5 }, (_, i) => study(`1.2.${i + 1}`, 1));
    const connector = await connect(pacsOf(...many));
    const first = await read(connector, undefined, 2);
    const rest = await read(connector, first.cursor);
    expect([...first.studies, ...rest.studies].map((one) => one.studyInstanceUid)).toEqual([
      '1.2.1',
      '1.2.2',
      '1.2.3',
      '1.2.4',
      '1.2.5',
    ]);
  });

  it('is asked for recent studies in between, and for all of them when that is due', async () => {
    const connector = await connect(pacsOf(study('1.2.1', 1)));
    const { cursor } = await read(connector);
    await read(connector, cursor);
    expect(pacs.asked.at(-1)).toMatch(/StudyDate=\d{8}-/);
    const yesterday = JSON.stringify({ qido: { fullAt: Date.now() - 25 * 60 * 60 * 1000 } });
    expect((await read(connector, yesterday)).studies).toHaveLength(1);
    for (const cursor of ['x', '{}', '{"qido":5}', '{"orthanc":{"changes":"1"}}'])
      expect((await read(connector, cursor)).studies).toHaveLength(1);
  });

  it('cuts a large series into changes of 200 instances', async () => {
    const { studies } = await read(await connect(pacsOf(study('1.2.1', 450))));
    expect(studies.map((one) => instancesOf([one]).length)).toEqual([200, 200, 50]);
  });

  it('gives an instance the same digest whatever its server says about itself', async () => {
    const base = metadata('1.2.1', '1.2.1.1', '1.2.1.1.1', { '00091010': { vr: 'OB', BulkDataURI: 'http://a/1' } });
    const moved = {
      '00081190': { vr: 'UR', Value: ['http://b/'] },
      ...Object.fromEntries(Object.entries(base).reverse()),
      '00091010': { BulkDataURI: 'http://b/1', vr: 'OB' },
    };
    const other = metadata('1.2.1', '1.2.1.1', '1.2.1.1.1', { '00080060': { vr: 'CS', Value: ['MR'] } });
    const digests: (string | undefined)[] = [];
    for (const one of [base, moved, other]) {
      const answers = { ...study('1.2.1', 1).answers, 'studies/1.2.1/series/1.2.1.1/metadata': json([one]) };
      digests.push(instancesOf((await read(await connect(pacsOf({ entry: studyEntry('1.2.1'), answers })))).studies)[0]?.digest);
      if (one !== other) await pacs.stop();
    }
    expect(digests[1]).toBe(digests[0]);
    expect(digests[2]).not.toBe(digests[0]);
  });
});

describe('retrieval and credentials', () => {
  const request = { studyInstanceUid: '1.2.1', representation: 'instances' as const, instances: [] };

  it('hands a reply through, and refuses what was not asked for', async () => {
    const multipart: Answer = (_, response) =>
      response.writeHead(200, { 'content-type': 'multipart/related; boundary=x' }).end('--x--');
    const connector = await connect({
      'studies/1.2.1': multipart,
      'studies/1.2.2': html,
      'studies/1.2.3': (_, response) => response.writeHead(204).end(),
    });
    const reply = await connector.retrieve(request, never());
    expect([reply.contentType, (await bytesOf(reply)).toString()]).toEqual(['multipart/related; boundary=x', '--x--']);
    await expect(connector.retrieve({ ...request, studyInstanceUid: '1.2.2' }, never())).rejects.toMatchObject({
      code: 'bad-response',
    });
    for (const studyInstanceUid of ['1.2.3', '1.2.4', '../admin', '']) {
      await expect(connector.retrieve({ ...request, studyInstanceUid }, never())).rejects.toMatchObject({ code: 'not-found' });
    }
  });

  it('ends a stream that pauses too long, and one that is aborted', async () => {
    const stall: Answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'multipart/related; boundary=x' }).write('--x');
    };
    const connector = await connect({ 'studies/1.2.1': stall });
    await expect(bytesOf(await connector.retrieve(request, never()))).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
    const controller = new AbortController();
    const reply = await connector.retrieve(request, controller.signal);
    setTimeout(() => controller.abort(), 50);
    await expect(bytesOf(reply)).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('frees the source’s place when a reply is not read to its end', async () => {
    const slow: Answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'multipart/related; boundary=x' }).write('--x');
    };
    const connector = await connect(
      { 'studies/1.2.1': slow },
      { maxConcurrent: 1, timeouts: { headersMs: 5_000, idleMs: 60_000 } },
    );
    for (let i = 0; i < 3; i += 1) (await connector.retrieve(request, never())).body.once('error', () => {}).destroy();
    expect(pacs.asked).toHaveLength(3);
  });

  it.each([
    [{ kind: 'basic', username: 'hub', password: 's:ecret' }, `Basic ${Buffer.from('hub:s:ecret').toString('base64')}`],
    [{ kind: 'bearer', token: 'abc' }, 'Bearer abc'],
  ])('sends its %j', async (auth, header) => {
    const connector = await connect(pacsOf(), { auth });
    expect(await connector.health(never())).toMatchObject({ reachable: true });
    expect(pacs.lastHeaders().authorization).toBe(header);
  });

  it('refuses to retry what is no item', async () => {
    const connector = await connect({});
    for (const locator of ['../x', 'studies/1.2/../3', 'orthanc/instances/../../system', 'studies?offset=0', '']) {
      await expect(connector.retry({ locator }, never())).rejects.toMatchObject({ code: 'not-found' });
    }
    expect(pacs.asked).toEqual([]);
  });
});
