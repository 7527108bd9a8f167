import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAddressPolicy, isNetwork } from '../../connectors/address-policy.js';
import { createGate } from '../../connectors/gate.js';
import { createOutbound } from '../../connectors/outbound.js';
import { never } from './support/changes.js';

describe('the addresses that may be connected to', () => {
  const publicOnly = createAddressPolicy([]);
  it.each([
    ...[
      '127.0.0.1',
      '127.8.8.8',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      '169.254.169.254',
      '0.0.0.0',
      '224.0.0.1',
    ],
    ...[
      '255.255.255.255',
      '::1',
      '::',
      'fe80::1',
      'fd00::1',
      'ff02::1',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:169.254.169.254',
      '64:ff9b::7f00:1',
    ],
    ...['fe80::1%eth0', '2002:7f00:1::', 'fd00:ec2::254', 'localhost', '', '1.2.3'],
  ])('%s is not one', (address) => {
    expect(publicOnly(address)).toBe(false);
  });

  it.each(['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111', '::ffff:8.8.8.8'])('%s is one', (address) => {
    expect(publicOnly(address)).toBe(true);
  });

  it('are those of the allowed networks, too, but never link-local ones', () => {
    const policy = createAddressPolicy(['10.20.0.0/16', '127.0.0.1', 'fd12:3456::/32', '169.254.0.0/16']);
    expect(['10.20.3.4', '127.0.0.1', 'fd12:3456::1', '::ffff:10.20.0.1'].map(policy)).toEqual([true, true, true, true]);
    expect(['10.21.0.1', '127.0.0.2', 'fd12:3457::1', '169.254.169.254'].map(policy)).toEqual([false, false, false, false]);
  });

  it('are given in CIDR notation', () => {
    expect(['10.0.0.0/8', '::/0', '1.2.3.4'].map(isNetwork)).toEqual([true, true, true]);
    expect(['10.0.0.0/33', '10.0.0/8', 'host', '10.0.0.0/8/8', '10.0.0.0/-1'].map(isNetwork)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
    expect(() => createAddressPolicy(['hospital.local'])).toThrow(/hospital\.local/);
  });
});

describe('outbound HTTP', () => {
  let server: Server;
  let port: number;
  let hits = 0;

  beforeAll(async () => {
    server = createServer((request, response) => {
      hits += 1;
      if (request.url === '/redirect') response.writeHead(302, { location: '/elsewhere' }).end();
      else if (request.url === '/hang') response.flushHeaders();
      else if (request.url === '/silence') return;
      else response.end('hello');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const get = async (url: string, allowedNetworks: string[], options = {}) => {
    const outbound = createOutbound({ allowedNetworks });
    try {
      const { status, body } = await outbound.request(new URL(url), options);
      let text = '';
      for await (const chunk of body) text += chunk;
      return { status, text };
    } finally {
      await outbound.close();
    }
  };

  it('reaches a private address only inside an allowed network, by number and by name', async () => {
    const before = hits;
    for (const host of ['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', '[::1]', '0.0.0.0']) {
      await expect(get(`http://${host}:${port}/`, [])).rejects.toMatchObject({ code: 'forbidden-address' });
    }
    expect(hits).toBe(before);
    expect(await get(`http://127.0.0.1:${port}/`, ['127.0.0.0/8'])).toEqual({ status: 200, text: 'hello' });
    expect(await get(`http://localhost:${port}/`, ['127.0.0.0/8'])).toEqual({ status: 200, text: 'hello' });
  });

  it('speaks only http and https, and takes no credentials from an address', async () => {
    for (const url of ['file:///etc/passwd', 'ftp://127.0.0.1/', `http://user:secret@127.0.0.1:${port}/`]) {
      await expect(get(url, ['127.0.0.0/8'])).rejects.toMatchObject({ code: 'forbidden-address' });
    }
  });

  it('follows no redirect', async () => {
    expect(await get(`http://127.0.0.1:${port}/redirect`, ['127.0.0.0/8'])).toMatchObject({ status: 302 });
  });

  it('says what failed: nobody there, no such name, no answer, an answer that stops', async () => {
    const allowed = ['127.0.0.0/8'];
    await expect(get('http://127.0.0.1:1/', allowed)).rejects.toMatchObject({ code: 'unreachable' });
    await expect(get('http://no-such-host.invalid/', allowed)).rejects.toMatchObject({ code: 'unreachable' });
    await expect(get(`http://127.0.0.1:${port}/silence`, allowed, { headersTimeoutMs: 300 })).rejects.toMatchObject({
      code: 'timeout',
    });
    await expect(get(`http://127.0.0.1:${port}/hang`, allowed, { idleTimeoutMs: 300 })).rejects.toMatchObject({
      code: 'UND_ERR_BODY_TIMEOUT',
    });
    const gaveUp = AbortSignal.abort(new Error('gave up'));
    await expect(get(`http://127.0.0.1:${port}/`, allowed, { signal: gaveUp })).rejects.toThrow('gave up');
  });
});

describe('a source that hangs up before its answer was read', () => {
  const content = Buffer.alloc(64 * 1024, 'a');
  const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\n';
  const chunked = Buffer.concat([Buffer.from('10000\r\n'), content, Buffer.from('\r\n0\r\n\r\n')]);

  /** Reads the answer only after the source is gone; resolves with its length. */
  async function readLate(hangUp: (socket: Socket) => void): Promise<number> {
    const server = createNetServer((socket) => socket.on('error', () => undefined).once('data', () => hangUp(socket)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
    try {
      const { body } = await outbound.request(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`));
      await new Promise((resolve) => setTimeout(resolve, 300));
      let length = 0;
      for await (const chunk of body) length += (chunk as Buffer).length;
      return length;
    } finally {
      await outbound.close();
      server.close();
    }
  }

  it('is read to its end all the same', async () => {
    expect(await readLate((socket) => socket.end(`${head}Content-Length: ${content.length}\r\n\r\n${content}`))).toBe(
      content.length,
    );
    const parts = Buffer.concat([Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`), chunked]);
    expect(await readLate((socket) => socket.end(parts))).toBe(content.length);
  });

  it('fails when its answer is cut short, and ends nothing else', async () => {
    const cut = (socket: Socket) => {
      socket.write(`${head}Content-Length: ${content.length * 2}\r\n\r\n${content}`);
      setTimeout(() => socket.resetAndDestroy(), 100);
    };
    await expect(readLate(cut)).rejects.toThrow();
    await expect(readLate((socket) => socket.end(`${head}Content-Length: 99999\r\n\r\n${content}`))).rejects.toThrow();
  });
});

describe('the gate of a source', () => {
  it('lets only so many in at once, in the order of their coming', async () => {
    const gate = createGate({ maxConcurrent: 2 });
    const first = await gate.enter();
    await gate.enter();
    const order: string[] = [];
    const third = gate.enter().then(() => order.push('third'));
    const fourth = gate.enter().then(() => order.push('fourth'));
    await Promise.resolve();
    expect(order).toEqual([]);
    first(true);
    first(true);
    await third;
    expect(order).toEqual(['third']);
    void fourth;
  });

  it('gives up a wait that is aborted, and its place in the line', async () => {
    const gate = createGate({ maxConcurrent: 1 });
    const leave = await gate.enter();
    const controller = new AbortController();
    const waiting = gate.enter(controller.signal);
    const next = gate.enter();
    controller.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    leave(true);
    expect(await next).toEqual(expect.any(Function));
  });

  it('rests after repeated failures, then lets one try, and opens when that is answered', async () => {
    let now = 0;
    const gate = createGate({ maxConcurrent: 4, maxFailures: 3, restMs: 100, now: () => now });
    await gate.enter();
    for (let i = 0; i < 3; i += 1) (await gate.enter())(false);
    await expect(gate.enter()).rejects.toMatchObject({ code: 'unreachable' });
    now = 100;
    const trial = await gate.enter();
    await expect(gate.enter()).rejects.toMatchObject({ code: 'unreachable' });
    trial(false);
    await expect(gate.enter()).rejects.toMatchObject({ code: 'unreachable' });
    now = 200;
    (await gate.enter())(true);
    const both = await Promise.all([gate.enter(), gate.enter()]);
    expect(both).toHaveLength(2);
  });

  it('lets no endless line form', async () => {
    const gate = createGate({ maxConcurrent: 1, maxWaiting: 1 });
    await gate.enter();
    const controller = new AbortController();
    const waiting = gate.enter(controller.signal);
    await expect(gate.enter(never())).rejects.toMatchObject({ code: 'unreachable' });
    controller.abort();
    await expect(waiting).rejects.toBeDefined();
  });
});
