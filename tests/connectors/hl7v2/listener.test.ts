import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createConnector } from '../../../connectors/index.js';
import { createOutbound } from '../../../connectors/outbound.js';
import { codeOf, END, hl7, mllpClient, pid, VT } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';
import { type Receiver, receiver, statementOf } from './receiver.js';

let at: Receiver;
afterEach(() => at?.stop());
const message = (number: string): string => hl7('ADT^A04', [pid(number)], { 10: number });
const numbers = (): (string | undefined)[] => at.changes.map((c) => statementOf(c).locator.split('/').at(-1));

describe('a connection', () => {
  it('carries several messages in one chunk and one in many, answered in order, one at a time', async () => {
    at = await receiver();
    let busy = 0;
    at.take = async () => {
      busy += 1;
      expect(busy).toBe(1);
      await sleep(5);
      busy -= 1;
      return [];
    };
    const client = await at.client();
    client.write([1, 2, 3].map((n) => `${VT}${message(`c${n}`)}${END}`).join('\r\n'));
    for (const byte of Buffer.from(`${VT}${message('c4')}${END}`)) client.write(Buffer.of(byte));
    const answers = await client.answers(4);
    expect(answers.map((a) => a[1])).toEqual(['MSA|AA|c1', 'MSA|AA|c2', 'MSA|AA|c3', 'MSA|AA|c4']);
    expect(numbers()).toEqual(['c1', 'c2', 'c3', 'c4']);
  });

  it('that sends too much at once is not read further than it is answered', async () => {
    at = await receiver();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    at.take = async () => {
      await held;
      return [];
    };
    const client = await at.client();
    const large = hl7('ADT^A04', [pid('1', { 11: 'x'.repeat(1_000_000) })]);
    for (let i = 0; i < 40; i += 1) client.write(`${VT}${large}${END}`);
    while (at.changes.length === 0) await sleep(10);
    await sleep(300);
    expect(client.socket.writableLength).toBeGreaterThan(20_000_000);
    expect(at.changes).toHaveLength(1);
    release();
    expect(await client.answers(40, 60_000)).toHaveLength(40);
  });

  it('is closed when a message takes too long, when nothing comes, and when it is no MLLP', async () => {
    at = await receiver({ messageTimeoutMs: 150, idleTimeoutMs: 100_000 });
    const [slow, http] = [await at.client(), await at.client()];
    const began = Date.now();
    const drip = setInterval(() => slow.write('x'), 20);
    slow.write(VT);
    http.write('GET / HTTP/1.1\r\n'.repeat(10_000));
    await Promise.all([slow.closed(), http.closed()]);
    expect(Date.now() - began).toBeLessThan(60_000);
    clearInterval(drip);
    expect(at.changes).toEqual([]);
    at.stop();
    at = await receiver({ messageTimeoutMs: 100_000, idleTimeoutMs: 300 });
    const since = Date.now();
    await (await at.client()).closed();
    expect(Date.now() - since).toBeGreaterThan(200);
  });

  it('that works for long is not taken for one that is slow', async () => {
    at = await receiver({ messageTimeoutMs: 1_000, idleTimeoutMs: 30_000 });
    at.take = async () => {
      await sleep(1_500);
      return [];
    };
    const client = await at.client();
    const next = message('n2');
    client.write(`${VT}${message('n1')}${END}${VT}${next.slice(0, 30)}`);
    expect((await client.answers(1))[0]?.[1]).toBe('MSA|AA|n1');
    client.write(`${next.slice(30)}${END}`);
    expect((await client.answers(1))[0]?.[1]).toBe('MSA|AA|n2');
  });

  it('is refused beyond the most, and from elsewhere', async () => {
    at = await receiver({ maxConnections: 2 });
    await at.client();
    await at.client();
    await (await at.client()).closed();
    at.stop();
    at = await receiver({ peers: ['192.0.2.0/24'] });
    await (await at.client()).closed();
  });

  it('hears that its message is too large, or has too many segments, and goes on', async () => {
    at = await receiver({ maxMessageBytes: 5_000, maxSegments: 50 });
    const client = await at.client();
    const answers = [
      await client.send(hl7('ADT^A04', [pid('1', { 11: 'x'.repeat(6_000) })], { 10: 'large' })),
      await client.send(hl7('ADT^A04', [pid('1'), ...Array.from({ length: 60 }, () => 'NTE|1||x')], { 10: 'many' })),
      await client.send(message('good')),
    ];
    expect(answers.map(([a]) => [codeOf(a ?? []), a?.[1]?.split('|')[2]])).toEqual([
      ['AR', 'large'],
      ['AR', 'many'],
      ['AA', 'good'],
    ]);
    expect(at.changes.slice(0, 2)).toMatchObject([{ item: { reason: 'too-large' } }, { item: { reason: 'too-large' } }]);
  });

  it('ends with the listening, which can begin again at once', async () => {
    at = await receiver();
    const client = await at.client();
    at.stop();
    await client.closed();
    await expect(mllpClient(at.port)).rejects.toThrow();
  });
});

describe('TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mllp-'));
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
  const certificate = (name: string): void =>
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.crt`),
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    );

  it('hears only who shows a certificate that it knows', async () => {
    for (const name of ['hub', 'his', 'stranger']) certificate(name);
    at = await receiver({ tls: { cert: file('hub.crt'), key: file('hub.key'), clientCa: file('his.crt') } });
    const pair = (name: string) => ({ cert: readFileSync(file(`${name}.crt`)), key: readFileSync(file(`${name}.key`)) });
    const trust = { ca: readFileSync(file('hub.crt')), servername: 'hub', checkServerIdentity: () => undefined };
    const client = await mllpClient(at.port, { tls: { ...trust, ...pair('his') } });
    expect(codeOf((await client.send(message('tls')))[0] ?? [])).toBe('AA');
    client.end();
    for (const options of [{ ...trust, ...pair('stranger') }, trust]) {
      const refused = await mllpClient(at.port, { tls: options }).catch(() => undefined);
      if (refused) await refused.closed();
    }
    const plain = connect(at.port, '127.0.0.1');
    plain.on('error', () => undefined).write(`${VT}${message('plain')}${END}`);
    await new Promise((resolve) => plain.once('close', resolve));
    expect(numbers()).toEqual(['tls']);
    rmSync(folder, { recursive: true });
  });
});

describe('settings', () => {
  const outbound = createOutbound({ allowedNetworks: [] });
  it.each([
    [{ peers: ['10.0.0.0/8'] }, 'port'],
    [{ port: 2575 }, 'peers'],
    [{ port: 2575, peers: [] }, 'peers'],
    [{ port: 2575, peers: ['everyone'] }, 'peers'],
    [{ port: 2575, peers: ['10.0.0.1'], characterSet: 'BIG5' }, 'characterSet'],
    [{ port: 2575, peers: ['10.0.0.1'], password: 'x' }, 'password'],
  ])('%j is refused, naming %s', (settings, element) => {
    expect(() => createConnector('hl7v2', settings, { outbound })).toThrow(element);
  });

  it('say whether somebody listens', async () => {
    const port = await freePort();
    const health = async () =>
      (await createConnector('hl7v2', { port, peers: ['127.0.0.1'] }, { outbound }).health(AbortSignal.timeout(2_000))).reachable;
    expect(await health()).toBe(false);
    const stopping = new AbortController();
    await createConnector('hl7v2', { port, peers: ['127.0.0.1'] }, { outbound }).listen?.(async () => [], stopping.signal);
    expect(await health()).toBe(true);
    stopping.abort();
  });
});
