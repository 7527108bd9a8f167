import type { Socket } from 'node:net';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { Connector, Part10Object, RetrieveRequest } from '../../connectors/connector.js';
import { commands } from '../../connectors/dimse/messages/command.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { dataSet, part10, uids } from './support/data-sets.js';
import {
  type Behaviour,
  type DimsePeer,
  lists,
  type PeerOptions,
  rejections,
  startDimsePeer,
  studies,
} from './support/dimse-peer.js';
import { bytesOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
let pacs: DimsePeer;
const unhandled: unknown[] = [];
const note = (error: unknown): unknown => unhandled.push(error);
process.on('unhandledRejection', note).on('uncaughtException', note);

afterEach(async () => {
  await pacs.stop();
  expect(unhandled).toEqual([]);
});
afterAll(async () => {
  process.off('unhandledRejection', note).off('uncaughtException', note);
  await outbound.close();
});

async function connect(
  options: Partial<PeerOptions> & { behaviours?: readonly Behaviour[] },
  settings: object = {},
): Promise<Connector> {
  pacs = await startDimsePeer({ behaviours: [], ...options });
  const timeouts = { connectMs: 500, artimMs: 500, responseMs: 500, idleMs: 500 };
  return createConnector(
    'dimse',
    { host: '127.0.0.1', port: pacs.port, calledAeTitle: 'PACS', timeouts, ...settings },
    { outbound },
  );
}

const raw = (bytes: Buffer) => (socket: Socket) => socket.once('data', () => socket.write(bytes));
const onFind =
  (act: Behaviour): Behaviour =>
  (peer, message, query) =>
    message.command.commandField === commands.findRequest ? act(peer, message, query) : Promise.resolve('not mine');

const cases: [string, Partial<PeerOptions>, string][] = [
  ['does not know the hub', { rejection: rejections.callingAeTitle }, 'refused'],
  ['is busy', { rejection: rejections.busy }, 'unreachable'],
  ['accepts no presentation context', { isAccepted: () => false }, 'refused'],
  ['says nothing', { onConnect: () => undefined }, 'timeout'],
  ['hangs up', { onConnect: (socket) => socket.destroy() }, 'unreachable'],
  ['speaks HTTP', { onConnect: raw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')) }, 'bad-response'],
  ['states a PDU of four gigabytes', { onConnect: raw(Buffer.from([2, 0, 0xff, 0xff, 0xff, 0xff, 0])) }, 'bad-response'],
  ['stops inside its answer', { onConnect: raw(Buffer.from([2, 0, 0, 0, 1, 0, 0, 1])) }, 'timeout'],
  ['answers an association of nothing', { onConnect: raw(Buffer.from([2, 0, 0, 0, 0, 0])) }, 'bad-response'],
  ['aborts', { onConnect: raw(Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 2, 0])) }, 'refused'],
  ['hangs on the query', { behaviours: [onFind(() => new Promise(() => undefined))] }, 'timeout'],
  ['hangs up on the query', { behaviours: [onFind(async ({ socket }) => void socket.destroy())] }, 'unreachable'],
  [
    'aborts on the query',
    { behaviours: [onFind(async ({ association }) => association.abort(new Error('no')))] },
    'bad-response',
  ],
  ['fails', { behaviours: [onFind((peer, message) => peer.answer(message, commands.findResponse, 0xc001))] }, 'bad-response'],
  [
    'answers another question',
    { behaviours: [onFind((peer, message) => peer.answer(message, commands.echoResponse, 0))] },
    'bad-response',
  ],
  [
    'answers with what is no data set',
    { behaviours: [onFind((peer, message) => peer.answer(message, commands.findResponse, 0xff00, Buffer.alloc(300, 0x41)))] },
    'bad-response',
  ],
  [
    'answers with two megabytes',
    { behaviours: [onFind((peer, message) => peer.answer(message, commands.findResponse, 0xff00, Buffer.alloc(2 << 20)))] },
    'bad-response',
  ],
  [
    'sends a message of no accepted context',
    { behaviours: [onFind((peer, message) => peer.association.send(99, { ...message.command, hasDataSet: false }))] },
    'bad-response',
  ],
];

describe('a PACS that fails as a whole', () => {
  it.each(cases)('%s: the reading stops with the reason', async (_, options, code) => {
    const connector = await connect(options);
    await expect(read(connector)).rejects.toMatchObject({ name: 'SourceError', code });
  });

  it('is left alone after repeated failures', async () => {
    let connections = 0;
    const connector = await connect({
      onConnect: (socket) => {
        connections += 1;
        socket.destroy();
      },
    });
    for (let i = 0; i < 8; i += 1) await expect(read(connector)).rejects.toMatchObject({ code: 'unreachable' });
    expect(connections).toBe(5);
  });

  it('answers without end: it is cancelled, then given up', async () => {
    const endless: Behaviour = async (peer, message) => {
      for (;;) await peer.answer(message, commands.findResponse, 0xff00, Buffer.alloc(0));
    };
    const connector = await connect({ behaviours: [onFind(endless)] }, { timeouts: { responseMs: 10_000 } });
    await expect(read(connector)).rejects.toMatchObject({ code: 'bad-response' });
  });
});

describe('a PACS that does not list all of its studies at once', () => {
  it.each([
    ['says so', 0xfe00],
    ['is out of resources', 0xa700],
  ])('is asked for less and less until all came (%s)', async (_, atMost) => {
    const connector = await connect({ behaviours: [lists(studies(60, { perDay: 20 }), { most: 15, atMost })] });
    const { studies: found, unreadable } = await read(connector);
    expect(unreadable).toEqual([]);
    expect(new Set(found.map((study) => study.studyInstanceUid)).size).toBe(60);
  });

  it('does not match dates: everything comes at once', async () => {
    const connector = await connect({ behaviours: [lists(studies(30), { ignores: ['00080020'] })] });
    const { studies: found, cursor } = await read(connector);
    expect(new Set(found.map((study) => study.studyInstanceUid)).size).toBe(30);
    const asked = pacs.asked.filter((one) => one.startsWith('STUDY')).length;
    expect(asked).toBeLessThan(5);
    expect((await read(connector, cursor)).studies).toEqual([]);
  });

  it('keeps some of a minute back whatever is asked: that is said', async () => {
    const rows = studies(20, { perDay: 20 }).map((row) => ({ ...row, '00080030': '101500' }));
    const { unreadable } = await read(await connect({ behaviours: [lists(rows, { most: 15, atMost: 0xa700 })] }));
    expect(unreadable).toEqual(expect.arrayContaining([expect.objectContaining({ reason: 'source-error' })]));
  });
});

describe('a study that can not be read', () => {
  const rows = studies(3, { instances: 2 });
  it.each([
    ['hangs', (): Promise<void> => new Promise(() => undefined)],
    ['aborts', async ({ association }) => association.abort(new Error('no'))],
    ['fails', (peer, message) => peer.answer(message, commands.findResponse, 0xc000)],
  ] as [string, Behaviour][])('is an item, and stops no other (%s)', async (_, act) => {
    const ofOne: Behaviour = (peer, message, query) =>
      message.command.commandField === commands.findRequest &&
      query['0020000D']?.Value?.[0] === '1.2.3.2' &&
      query['00080052']?.Value?.[0] === 'IMAGE'
        ? act(peer, message, query)
        : Promise.resolve('not mine');
    const connector = await connect({ behaviours: [ofOne, lists(rows)] });
    const { studies: found, unreadable } = await read(connector);
    expect(Object.keys(countsByStudy(found))).toEqual(['1.2.3.1', '1.2.3.3']);
    expect(unreadable).toEqual([
      expect.objectContaining({
        locator: 'studies/1.2.3.2/series/1.2.3.2.1',
        reason: 'source-error',
        studyInstanceUid: '1.2.3.2',
      }),
    ]);
  });

  it('claims more than it lists', async () => {
    const { studies: found, unreadable } = await read(
      await connect({ behaviours: [lists(studies(1, { instances: 2, claimed: 5 }))] }),
    );
    expect(instancesOf(found)).toHaveLength(2);
    expect(unreadable).toEqual([expect.objectContaining({ reason: 'count-mismatch', locator: 'studies/1.2.3.1' })]);
  });
});

describe('a retrieval that goes wrong', () => {
  const request: RetrieveRequest = {
    studyInstanceUid: '1.2.3.4',
    representation: 'instances',
    instances: ['6', '7'].map((n) => ({
      ...{
        seriesInstanceUid: '1.2.3.4.5',
        sopInstanceUid: `1.2.3.4.5.${n}`,
        sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
        locator: '',
      },
    })),
  };
  const send =
    (uid: string, body: Buffer): Behaviour =>
    async ({ association, socket }, message) => {
      if (message.command.commandField !== commands.getRequest) return 'not mine';
      const context = association.context('1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1')!;
      const command = {
        commandField: commands.storeRequest,
        messageId: 7,
        sopClassUid: context.abstractSyntax,
        hasDataSet: true,
      };
      await association.send(context.id, { ...command, sopInstanceUid: uid, priority: 0 }, body);
      await association.receive();
      socket.destroy();
      return;
    };

  it('brings another object than was asked for', async () => {
    const connector = await connect({ behaviours: [send('1.2.3.4.5.6', dataSet({ '0020000D': ['UI', '9.9'] }))] });
    await expect(connector.retrieve(request, never())).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('breaks off: the stream ends with an error, not as if it were whole', async () => {
    const connector = await connect({ behaviours: [send('1.2.3.4.5.6', dataSet())] });
    const { body } = await connector.retrieve(request, never());
    await expect(bytesOf({ contentType: '', body })).rejects.toMatchObject({ name: 'SourceError', code: 'unreachable' });
  });

  it.each<[string, boolean, number]>([
    ['is given by a list of UIDs: nothing else is sent', true, 1],
    ['is refused for a list of UIDs: the series is asked for', false, 2],
  ])('of headers %s', async (_what, takesLists, requests) => {
    const sends: Behaviour = async (peer, message, query) => {
      if (message.command.commandField !== commands.getRequest) return 'not mine';
      const listed = (query['00080018'] as { Value?: string[] } | undefined)?.Value;
      if (listed && !takesLists) return peer.answer(message, commands.getResponse, 0xa900);
      const context = peer.association.context('1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1')!;
      for (const uid of listed ?? ['6', '7', '8'].map((n) => `1.2.3.4.5.${n}`)) {
        const command = { commandField: commands.storeRequest, messageId: 7, sopClassUid: context.abstractSyntax };
        const body = dataSet({ '00080018': ['UI', uid] });
        await peer.association.send(context.id, { ...command, hasDataSet: true, sopInstanceUid: uid, priority: 0 }, body);
        await peer.association.receive();
      }
      return peer.answer(message, commands.getResponse, 0);
    };
    const connector = await connect({ behaviours: [sends] });
    const sopInstanceUids = new Set(['1.2.3.4.5.6', '1.2.3.4.5.8']);
    const series = { studyInstanceUid: '1.2.3.4', seriesInstanceUid: '1.2.3.4.5' };
    const found = (await connector.headers!({ ...series, sopInstanceUids }, never())).map((change) =>
      change.kind === 'study' ? change.study.series[0]?.instances[0]?.sopInstanceUid : change,
    );
    expect(found).toEqual(['6', ...(takesLists ? [] : ['7']), '8'].map((n) => `1.2.3.4.5.${n}`));
    expect(pacs.asked).toEqual(Array.from({ length: requests }, () => 'GET'));
  });

  it('is not allowed: the reason is said', async () => {
    const connector = await connect({ isAccepted: (uid) => !uid.startsWith('1.2.840.10008.5.1.4.1.2') });
    await expect(connector.retrieve(request, never())).rejects.toMatchObject({ code: 'refused' });
    expect(await connector.health(never())).toMatchObject({
      detail: 'C-ECHO answers. It does not accept C-FIND. It does not accept C-GET.',
    });
  });
});

describe('a PACS that breaks off while it is asked to keep objects', () => {
  const objectOf = (n: number): Part10Object => ({
    ...{ sopClassUid: uids.ctStorage, sopInstanceUid: `1.2.3.4.5.${n}`, transferSyntaxUid: '1.2.840.10008.1.2.1' },
    bytes: part10(dataSet({ '00080018': ['UI', `1.2.3.4.5.${n}`] })),
  });
  async function* three(): AsyncGenerator<Part10Object> {
    yield* [1, 2, 3].map(objectOf);
  }
  it.each([
    ['once: nothing is lost', 1, [0, 0, 0]],
    ['at one object each time: that one is given up', Number.POSITIVE_INFINITY, [0, 0x0110, 0]],
  ])('%s', async (_, times, statuses) => {
    let broken = 0;
    const breaks: Behaviour = async ({ socket }, message) => {
      if (message.command.sopInstanceUid !== '1.2.3.4.5.2' || broken >= times) return 'not mine';
      broken += 1;
      return socket.destroy();
    };
    const connector = await connect({ behaviours: [breaks] });
    const outcomes = [];
    for await (const outcome of connector.store!(three(), never())) outcomes.push(outcome);
    expect(outcomes.map(({ status }) => status)).toEqual(statuses);
    expect(outcomes.map(({ sopInstanceUid }) => sopInstanceUid)).toEqual([1, 2, 3].map((n) => `1.2.3.4.5.${n}`));
  });
});
