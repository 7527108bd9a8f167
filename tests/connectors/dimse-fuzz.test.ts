import { connect as connectSocket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Change } from '../../connectors/connector.js';
import { encodeRequest } from '../../connectors/dimse/association/associate-pdu.js';
import { pdu, pduTypes, releaseRequest } from '../../connectors/dimse/association/pdu.js';
import { type Command, commands, decodeCommand, encodeCommand } from '../../connectors/dimse/messages/command.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { freePort } from '../support/free-port.js';
import { dataSet, element, uids } from './support/data-sets.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
const stopping = new AbortController();
const taken: Change[] = [];
const unhandled: unknown[] = [];
const note = (error: unknown): unknown => unhandled.push(error);
let port: number;

beforeAll(async () => {
  process.on('unhandledRejection', note).on('uncaughtException', note);
  port = await freePort();
  const connector = createConnector(
    'dimse',
    {
      ...{ host: '127.0.0.1', port: 1, calledAeTitle: 'PACS', timeouts: { artimMs: 500, idleMs: 800, responseMs: 800 } },
      listen: { port, peers: ['127.0.0.1/32'], maxAssociations: 200, maxObjectBytes: 50_000_000 },
    },
    { outbound },
  );
  await connector.listen!(async (change) => {
    taken.push(change);
    return [];
  }, stopping.signal);
});
afterEach(async () => {
  expect(unhandled).toEqual([]);
  // again where the machine stood still for longer than the listener waits
  for (let tries = 0; tries < 9 && !(await converse(good)).released; tries += 1);
  expect(await converse(good)).toMatchObject({ released: true });
  taken.splice(0);
});
afterAll(async () => {
  stopping.abort();
  process.off('unhandledRejection', note).off('uncaughtException', note);
  await outbound.close();
});

const explicit = '1.2.840.10008.1.2.1';
const deflated = '1.2.840.10008.1.2.1.99';
const request = (transferSyntax = explicit): Buffer =>
  encodeRequest({
    calledAeTitle: 'HUB',
    callingAeTitle: 'PACS',
    contexts: [{ id: 1, abstractSyntax: uids.ctStorage, transferSyntaxes: [transferSyntax] }],
    user: { maxPduLength: 16_384, roles: [] },
  });
const data = (control: number, value: Buffer, context = 1): Buffer => {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(value.length + 2);
  head[4] = context;
  head[5] = control;
  return pdu(pduTypes.data, Buffer.concat([head, value]));
};
const command = encodeCommand({
  ...{ commandField: commands.storeRequest, messageId: 1, sopClassUid: uids.ctStorage, sopInstanceUid: uids.instance },
  ...{ priority: 0, hasDataSet: true },
});
const pixels = element('7FE00010', 'OW', Buffer.alloc(20_000, 7));
const object = Buffer.concat([dataSet({ '00081140': ['SQ', Buffer.alloc(0)] }), pixels]);
const good = Buffer.concat([
  request(),
  data(3, command),
  data(0, object.subarray(0, 9_000)),
  data(2, object.subarray(9_000)),
  releaseRequest(),
]);

interface Conversation {
  bytes: number;
  closed: boolean;
  released: boolean;
}

/** Sends bytes, in pieces where that is asked, and waits until the listener hangs up. */
function converse(bytes: Buffer, { piece = bytes.length, pauseMs = 0, waitMs = 60_000 } = {}): Promise<Conversation> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1');
    const heard: Buffer[] = [];
    const end = (closed: boolean): void => {
      const all = Buffer.concat(heard);
      const last = all.subarray(-10);
      resolve({ bytes: all.length, closed, released: last.length === 10 && last[0] === pduTypes.releaseResponse });
      clearTimeout(timer);
      socket.destroy();
    };
    const timer = setTimeout(() => end(false), waitMs);
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => heard.push(chunk))
      .on('close', () => end(true));
    socket.on('connect', async () => {
      for (let at = 0; at < bytes.length && !socket.destroyed; at += piece) {
        socket.write(bytes.subarray(at, at + piece));
        if (pauseMs > 0) await sleep(pauseMs);
      }
    });
  });
}

describe('a listener that hears nonsense', () => {
  it('hangs up, whatever the bytes', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 6, maxLength: 300 }).map((given) => given.fill(1, 0, 1).fill(0, 1, 4)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { minLength: 20, maxLength: 20 }), async (all) => {
        const ends = await Promise.all(all.map((given) => converse(Buffer.from(given))));
        expect(ends.every(({ closed }) => closed)).toBe(true);
      }),
      { numRuns: 4 },
    );
  });

  it('takes nothing that was not sent, however a good conversation is spoilt', async () => {
    const spoilt = fc.oneof(
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => withByte(good, at, byte)),
      fc.nat(good.length).map((end) => good.subarray(0, end)),
      fc.tuple(fc.nat(good.length), fc.nat(good.length)).map(([a, b]) => Buffer.concat([good.subarray(0, a), good.subarray(b)])),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(spoilt, { minLength: 30, maxLength: 30 }), async (all) => {
        taken.splice(0);
        const ends = await Promise.all(all.map((one) => converse(one)));
        expect(ends.every(({ closed }) => closed)).toBe(true);
        for (const change of taken) expect(['study', 'unreadable']).toContain(change.kind);
        expect(taken.length).toBeLessThanOrEqual(all.length);
      }),
      { numRuns: 4 },
    );
  });

  it('reads a good conversation in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3_000 }), async (piece) => {
        taken.splice(0);
        expect(await converse(good, { piece: Math.max(piece, 200), pauseMs: piece % 3 })).toMatchObject({ released: true });
        expect(taken).toMatchObject([{ kind: 'study', study: { studyInstanceUid: uids.study } }]);
      }),
      { numRuns: 10 },
    );
  });

  it.each([
    ['an association byte by byte', request(), 1, 200],
    ['a message in pieces', Buffer.concat([request(), data(3, command)]), 400, 30_000],
  ])('waits only so long for %s', async (_, bytes, piece, pauseMs) => {
    const begin = performance.now();
    expect((await converse(bytes, { piece, pauseMs })).closed).toBe(true);
    expect(performance.now() - begin).toBeLessThan(20_000);
  });

  it.each([
    ['a PDU of four gigabytes', Buffer.from([4, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1])],
    ['a value of four gigabytes', pdu(pduTypes.data, Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 3, 0, 0]))],
    ['a value without length', pdu(pduTypes.data, Buffer.from([0, 0, 0, 0, 1, 3, 0, 0]))],
    ['an empty PDU', pdu(pduTypes.data, Buffer.alloc(0))],
    ['a second association', request()],
    ['an answer', data(3, encodeCommand({ commandField: commands.findResponse, hasDataSet: false } as Command))],
    ['a data set without a command', data(2, object)],
    ['another context', data(3, command, 3)],
    ['a command of a megabyte', Buffer.concat(Array.from({ length: 100 }, () => data(1, Buffer.alloc(10_000))))],
    ['what is no command', data(3, Buffer.alloc(100, 0xff))],
    ['a store without an object', data(3, encodeCommand({ ...decodeCommand(command), hasDataSet: false }))],
  ])('ends an association that brings %s', async (_, bytes) => {
    expect((await converse(Buffer.concat([request(), bytes]))).closed).toBe(true);
    expect(taken).toEqual([]);
  });

  it.each([
    [
      'nests without end',
      Buffer.concat(
        Array.from({ length: 50_000 }, () => Buffer.from('08004011' + '5351' + '0000ffffffff' + 'feff00e0ffffffff', 'hex')),
      ),
    ],
    [
      'holds a value of four gigabytes',
      Buffer.concat([dataSet(), Buffer.from('09000110554e0000f0ffffff', 'hex'), Buffer.alloc(1_000)]),
    ],
    [
      'has no end of elements',
      Buffer.concat(Array.from({ length: 300_000 }, (_, i) => element('00091001', 'LO', String(i % 10)))),
    ],
    ['is noise', Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7_919) % 251))],
  ])(
    'holds an object in quarantine that %s',
    async (_, body) => {
      const fragments = Array.from({ length: Math.ceil(body.length / 60_000) }, (__, i) =>
        body.subarray(i * 60_000, (i + 1) * 60_000),
      );
      const sent = fragments.map((one, i) => data(i === fragments.length - 1 ? 2 : 0, one));
      const { released } = await converse(Buffer.concat([request(), data(3, command), ...sent, releaseRequest()]), {
        waitMs: 20_000,
      });
      expect(released).toBe(true);
      expect(taken.map((change) => change.kind)).toEqual(['unreadable']);
    },
    30_000,
  );

  it('holds a deflate bomb in quarantine, in little memory', async () => {
    const bomb = deflateRawSync(
      Buffer.concat([dataSet(), Buffer.from('09000110554e000000000070', 'hex'), Buffer.alloc(600_000_000)]),
    );
    const fragments = Array.from({ length: Math.ceil(bomb.length / 60_000) }, (_, i) =>
      bomb.subarray(i * 60_000, (i + 1) * 60_000),
    );
    const sent = fragments.map((one, i) => data(i === fragments.length - 1 ? 2 : 0, one));
    global.gc?.();
    const before = process.memoryUsage().rss;
    await converse(Buffer.concat([request(deflated), data(3, command), ...sent, releaseRequest()]), { waitMs: 30_000 });
    expect(taken).toMatchObject([{ kind: 'unreadable', item: { reason: 'too-large' } }]);
    expect(process.memoryUsage().rss - before).toBeLessThan(300_000_000);
  });

  it('holds objects of any size in little memory', async () => {
    const before = process.memoryUsage().rss;
    const large = Buffer.concat([dataSet(), Buffer.from('e07f10004f57000000c2eb0b', 'hex')]);
    const chunk = data(0, Buffer.alloc(100_000));
    const pieces = Array.from({ length: 400 }, () => chunk);
    const { released } = await converse(
      Buffer.concat([request(), data(3, command), data(0, large), ...pieces, data(2, Buffer.alloc(0)), releaseRequest()]),
      { waitMs: 30_000 },
    );
    expect(released).toBe(true);
    expect(taken).toMatchObject([{ kind: 'unreadable', item: { reason: 'truncated' } }]);
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000);
  });
});

describe('command sets', () => {
  it('are read as they were written', () => {
    const number = fc.option(fc.integer({ min: 0, max: 0xffff }), { nil: undefined });
    const title = fc.option(fc.stringMatching(/^[A-Z0-9]{1,16}$/), { nil: undefined });
    const uid = fc.option(fc.stringMatching(/^1(\.[1-9][0-9]{0,5}){1,6}$/), { nil: undefined });
    const given = fc.record({
      commandField: fc.integer({ min: 1, max: 0xffff }),
      hasDataSet: fc.boolean(),
      ...{ messageId: number, respondedTo: number, status: number, remaining: number, failed: number },
      ...{ sopClassUid: uid, sopInstanceUid: uid, moveDestination: title, moveOriginatorAeTitle: title },
    });
    fc.assert(
      fc.property(given, (one) => {
        const stated = Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined));
        expect(decodeCommand(encodeCommand(one))).toEqual(stated);
      }),
    );
  });

  it('of any other bytes are an error of the protocol, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeCommand(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ name: 'SourceError', code: 'bad-response' });
        }
      }),
    );
  });
});

function withByte(bytes: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = byte;
  return copy;
}
