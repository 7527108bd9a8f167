import type { IncomingMessage, ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connector, Part10Object, StoreOutcome } from '../../connectors/connector.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { filesBelow, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWithRealData } from '../support/real-data.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { type Answer, type HostilePacs, startHostilePacs } from './support/hostile-pacs.js';
import { bytesOf, partsOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
afterAll(() => outbound.close());

const connect = (baseUrl: string): Connector => createConnector('dicomweb', { baseUrl }, { outbound });

async function store(connector: Connector, objects: Iterable<Part10Object>): Promise<StoreOutcome[]> {
  const outcomes: StoreOutcome[] = [];
  for await (const outcome of connector.store!(each(objects), never())) outcomes.push(outcome);
  return outcomes;
}

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

const objectOf = (sopInstanceUid: string, bytes: Uint8Array): Part10Object => ({
  sopInstanceUid,
  sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
  transferSyntaxUid: '1.2.840.10008.1.2.1',
  bytes,
});

describeWithRealData('an archive that is asked to keep a study (STOW-RS)', (data) => {
  let source: Orthanc;
  let target: Orthanc;
  const files: Buffer[] = [];
  let objects: Part10Object[] = [];
  beforeAll(async () => {
    const folder = join(data, 'hospital-b', 'dicom');
    [source, target] = await Promise.all([startOrthanc({ folder }), startOrthanc()]);
    for (const file of await filesBelow(folder)) files.push(await readFile(file));
    const known = instancesOf((await read(connect(source.dicomwebUrl))).studies).map((one) => one.sopInstanceUid);
    objects = known.map((uid) => {
      const bytes = files.find((file) => file.subarray(0, 4096).includes(Buffer.from(uid, 'latin1')));
      return objectOf(uid, bytes!);
    });
  });
  afterAll(() => Promise.all([source.stop(), target.stop()]));

  it('keeps every object byte by byte, and says so of each in the order given', async () => {
    const outcomes = await store(connect(target.dicomwebUrl), objects);
    expect(outcomes).toEqual(objects.map(({ sopInstanceUid }) => ({ sopInstanceUid, stored: true, status: 0 })));
    const { studies } = await read(connect(target.dicomwebUrl));
    expect(countsByStudy(studies)).toEqual(countsByStudy((await read(connect(source.dicomwebUrl))).studies));
    const [study] = studies;
    const parts = await partsOf(
      await connect(target.dicomwebUrl).retrieve(
        { studyInstanceUid: study!.studyInstanceUid, instances: [], representation: 'instances' },
        never(),
      ),
    );
    expect(parts.length).toBe(instancesOf([study!]).length);
    expect(parts.every((part) => files.some((file) => file.equals(part.body)))).toBe(true);
  });

  it('keeps what it has when it is sent again, without an error', async () => {
    const outcomes = await store(connect(target.dicomwebUrl), objects.slice(0, 5));
    expect(outcomes.map((outcome) => outcome.stored)).toEqual(Array(5).fill(true));
    expect(instancesOf((await read(connect(target.dicomwebUrl))).studies)).toHaveLength(objects.length);
  });

  it('refuses an object that is no DICOM, and keeps the ones around it', async () => {
    const empty = await startOrthanc();
    try {
      const [first, second, third] = objects;
      const bad = objectOf('1.2.3', Buffer.from('this is not DICOM'));
      const outcomes = await store(connect(empty.dicomwebUrl), [first!, bad, second!, third!]);
      expect(outcomes.map(({ stored }) => stored)).toEqual([true, false, true, true]);
      expect(outcomes[1]?.status).toBeGreaterThan(0);
    } finally {
      await empty.stop();
    }
  });
});

describe('an archive that answers oddly', () => {
  let pacs: HostilePacs;
  afterEach(() => pacs.stop());

  /** Bodies of the requests, and an answer to each. */
  async function answering(
    answer: (uids: string[], response: ServerResponse) => void,
  ): Promise<{ bodies: Buffer[]; connector: Connector }> {
    const bodies: Buffer[] = [];
    const receive: Answer = async (request, response) => {
      const message = await bytesOf({ contentType: '', body: request });
      bodies.push(message);
      answer(await uidsIn(request, message), response);
    };
    pacs = await startHostilePacs({ studies: receive });
    return { bodies, connector: connect(pacs.url) };
  }

  async function uidsIn(request: IncomingMessage, message: Buffer): Promise<string[]> {
    const body = (async function* () {
      yield message;
    })();
    const parts = await partsOf({ contentType: request.headers['content-type'] ?? '', body: body as never });
    return parts.map((part) => part.body.subarray(0, 40).toString().trim());
  }

  const many = (count: number, bytes = 40) =>
    Array.from({ length: count }, (_, i) => objectOf(`1.2.${i}`, Buffer.from(`1.2.${i}`.padEnd(bytes))));
  const reply = (response: ServerResponse, status: number, json: object) =>
    void response.writeHead(status, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(json));
  const referenced = (uids: string[], more: object = {}) => ({
    vr: 'SQ',
    Value: uids.map((uid) => ({ '00081155': { vr: 'UI', Value: [uid] }, ...more })),
  });

  it('is sent bounded requests', async () => {
    const { bodies, connector } = await answering((uids, response) => reply(response, 200, { '00081199': referenced(uids) }));
    expect(await store(connector, many(150))).toHaveLength(150);
    expect(bodies.length).toBe(3);
    bodies.length = 0;
    expect(await store(connector, many(5, 12 * 1024 * 1024))).toHaveLength(5);
    expect(bodies.every(({ length }) => length <= 33 * 1024 * 1024)).toBe(true);
    expect(bodies).toHaveLength(3);
  });

  it('says of each object whether it was kept, with a warning, refused, or passed over', async () => {
    const { connector } = await answering(([kept, warned, refused], response) =>
      reply(response, 202, {
        '00081199': {
          vr: 'SQ',
          Value: [...referenced([kept!]).Value, ...referenced([warned!], { '00081196': { vr: 'US', Value: [0xb000] } }).Value],
        },
        '00081198': referenced([refused!], { '00081197': { vr: 'US', Value: [0xa900] } }),
      }),
    );
    expect(await store(connector, many(4))).toMatchObject([
      { stored: true, status: 0 },
      { stored: true, status: 0xb000, detail: 'Kept with a warning (0xb000).' },
      { stored: false, status: 0xa900 },
      { stored: false, status: 0x0110, detail: 'The archive does not say what became of it (202).' },
    ]);
  });

  it.each([400, 413, 500])('refuses the whole of a request (%d) for one object: only that one is lost', async (status) => {
    const { connector } = await answering((uids, response) =>
      uids.includes('1.2.5') ? void response.writeHead(status).end() : reply(response, 200, { '00081199': referenced(uids) }),
    );
    const outcomes = await store(connector, many(9));
    expect(outcomes.map((outcome) => outcome.sopInstanceUid)).toEqual(many(9).map((object) => object.sopInstanceUid));
    expect(outcomes.filter((outcome) => !outcome.stored).map((outcome) => outcome.sopInstanceUid)).toEqual(['1.2.5']);
  });

  it.each([
    [401, 'refused'],
    [503, 'unreachable'],
    [302, 'bad-response'],
    [200, 'bad-response'],
  ])('can not be asked (%d): nothing counts as kept', async (status, code) => {
    const { connector } = await answering((_, response) => void response.writeHead(status, { location: '/' }).end());
    await expect(store(connector, many(3))).rejects.toMatchObject({ code });
  });

  it('is sent nothing of a batch whose source breaks off', async () => {
    const { bodies, connector } = await answering((uids, response) => reply(response, 200, { '00081199': referenced(uids) }));
    const objects = (async function* () {
      yield* many(3);
      throw new Error('broke off');
    })();
    const outcomes = connector.store!(objects, never());
    await expect(outcomes[Symbol.asyncIterator]().next()).rejects.toThrow('broke off');
    expect(bodies).toHaveLength(0);
  });
});
