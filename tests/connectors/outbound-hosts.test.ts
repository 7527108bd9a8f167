import { execFileSync } from 'node:child_process';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createHostPolicy, isHostPattern } from '../../connectors/host-policy.js';
import { createOutbound, type OutboundSettings } from '../../connectors/outbound.js';

const allowedNetworks = ['127.0.0.1/32'];

async function get(url: string, settings: Partial<OutboundSettings> = {}, ca?: string): Promise<string> {
  const outbound = createOutbound({ allowedNetworks, ...settings });
  try {
    let text = '';
    for await (const chunk of (await outbound.request(new URL(url), { ca })).body) text += chunk;
    return text;
  } finally {
    await outbound.close();
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

describe('the hosts that may be connected to', () => {
  it('are those that are listed: exact names, addresses, and names below a suffix', () => {
    const may = createHostPolicy(['pacs.county.example', '*.hospital.example', '10.1.2.3', '[fd00::1]']);
    const yes = [
      'pacs.county.example',
      'PACS.County.Example.',
      'a.hospital.example',
      'b.a.hospital.example',
      '10.1.2.3',
      '[fd00::1]',
    ];
    const no = [
      'hospital.example',
      'evilhospital.example',
      'county.example',
      'x.pacs.county.example',
      'pacs.county.example.evil.test',
      '10.1.2.4',
      '',
    ];
    expect(yes.filter((host) => !may(host))).toEqual([]);
    expect(no.filter(may)).toEqual([]);
    expect(['anything.example', '8.8.8.8'].every(createHostPolicy([]))).toBe(true);
  });

  it('are written as hosts', () => {
    expect(['a.example', '*.a.example', '::1', '[::1]', '1.2.3.4'].every(isHostPattern)).toBe(true);
    expect(['*', '*.', 'a.*.example', 'https://a.example', 'a.example/x', '', 'a b'].some(isHostPattern)).toBe(false);
    expect(() => createHostPolicy(['*'])).toThrow(/'\*'/);
  });
});

describe('outbound connections', () => {
  let server: Server;
  let port: number;
  let hits = 0;
  beforeAll(async () => {
    server = createHttpServer((_, response) => {
      hits += 1;
      response.setHeader('connection', 'close').end('hello');
    });
    port = await listening(server);
  });
  afterAll(() => void server.close());
  afterEach(() => {
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NODE_TLS_REJECT_UNAUTHORIZED'])
      delete process.env[name];
  });

  it('go to no host that is not listed, though its address is allowed', async () => {
    const before = hits;
    for (const host of ['localhost', '127.0.0.1', '2130706433', '0x7f.0.0.1', '0177.0.0.1', '[::ffff:7f00:1]', 'localhost.'])
      await expect(get(`http://${host}:${port}/`, { allowedHosts: ['pacs.example', '*.local'] })).rejects.toMatchObject({
        code: 'forbidden-address',
      });
    expect(hits).toBe(before);
    expect(await get(`http://LocalHost:${port}/`, { allowedHosts: ['localhost'] })).toBe('hello');
    const outbound = createOutbound({ allowedNetworks, allowedHosts: ['pacs.example'] });
    await expect(outbound.connect({ host: 'localhost', port, timeoutMs: 500 })).rejects.toMatchObject({
      code: 'forbidden-address',
    });
    await outbound.close();
  });

  it('go to the very address that was checked: a name that leads elsewhere the next time is refused then', async () => {
    const answers = ['127.0.0.1', '169.254.169.254', '127.0.0.1', '10.0.0.1', '::ffff:127.0.0.2'];
    const asked: string[] = [];
    const resolve = ((name: string, _: object, done: (error: null, addresses: LookupAddress[]) => void) => {
      asked.push(name);
      const address = answers[asked.length - 1] ?? '0.0.0.0';
      done(null, [{ address, family: address.includes(':') ? 6 : 4 }]);
    }) as never;
    const outbound = createOutbound({ allowedNetworks, resolve });
    const outcomes: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      try {
        const { body } = await outbound.request(new URL(`http://pacs.example:${port}/`));
        for await (const _ of body);
        outcomes.push('hello');
      } catch (error) {
        outcomes.push((error as { code: string }).code);
      }
    }
    await outbound.close();
    expect(outcomes).toEqual([
      'hello',
      'forbidden-address',
      'hello',
      'forbidden-address',
      'forbidden-address',
      'forbidden-address',
    ]);
    expect(asked).toHaveLength(6); // once for each connection: there is no second look-up that could say otherwise
  });

  it('go to the addresses of a name that are allowed, and to no other of them', async () => {
    const resolve = ((_: string, __: object, done: (error: null, addresses: LookupAddress[]) => void) =>
      done(
        null,
        ['10.9.9.9', '127.0.0.1'].map((address) => ({ address, family: 4 })),
      )) as never;
    expect(await get(`http://pacs.example:${port}/`, { resolve })).toBe('hello');
  });

  it('do not ask a proxy that the environment names', async () => {
    const before = hits;
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY']) process.env[name] = `http://127.0.0.1:${port}`;
    await expect(get('http://192.0.2.1/')).rejects.toMatchObject({ code: 'forbidden-address' });
    await expect(get('http://no-such-host.invalid/')).rejects.toMatchObject({ code: 'unreachable' });
    expect(hits).toBe(before);
  });
});

describe('TLS to a source', () => {
  let folder: string;
  const servers: Server[] = [];
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tls-'));
    for (const ca of ['ca', 'other'])
      openssl('req', '-x509', ...key, '-keyout', `${ca}.key`, '-out', `${ca}.pem`, '-subj', `/CN=${ca}`, '-days', '2');
    const issue = (name: string, host: string, days: string): void => {
      writeFileSync(file(`${name}.ext`), `subjectAltName=${host}`);
      openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=source');
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-days',
        days,
        '-out',
        `${name}.pem`,
        '-extfile',
        `${name}.ext`,
      );
    };
    issue('good', 'DNS:localhost', '2');
    issue('expired', 'DNS:localhost', '-1');
    issue('elsewhere', 'DNS:pacs.example', '2');
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      'self.key',
      '-out',
      'self.pem',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-days',
      '2',
    );
  });
  afterAll(() => {
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const serve = async (name: string): Promise<string> => {
    const server = createTlsServer(
      { cert: readFileSync(file(`${name}.pem`)), key: readFileSync(file(`${name}.key`)) },
      (_, response) => response.setHeader('connection', 'close').end('hello'),
    );
    servers.push(server);
    return `https://localhost:${await listening(server)}/`;
  };

  it.each([
    ['of an authority that nobody knows', 'good', undefined],
    ['of an authority other than the source’s', 'good', 'other.pem'],
    ['that it signed itself', 'self', 'ca.pem'],
    ['that has expired', 'expired', 'ca.pem'],
    ['of another host', 'elsewhere', 'ca.pem'],
  ])('refuses a certificate %s, whatever the environment says', async (_, name, ca) => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    const url = await serve(name);
    await expect(get(url, {}, ca && file(ca))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/certificate/),
    });
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });

  it('takes the certificate of the authority that is set for the source, and one that it signed itself when that is set', async () => {
    expect(await get(await serve('good'), {}, file('ca.pem'))).toBe('hello');
    expect(await get(await serve('self'), {}, file('self.pem'))).toBe('hello');
  });

  it('refuses when the file of its authority is not there', async () => {
    await expect(get(await serve('good'), {}, file('nothing.pem'))).rejects.toMatchObject({ code: 'refused' });
  });
});
