// Writes connectors/dicomweb/orthanc-api.generated.ts: what the connector asks of Orthanc, as the installed Orthanc describes it in its own OpenAPI.
// With --check it only says whether the file is up to date, which an Orthanc of the version named in its head can tell alone.
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import openapiTS, { astToString } from 'openapi-typescript';

const target = new URL('../connectors/dicomweb/orthanc-api.generated.ts', import.meta.url);
const orthanc = process.env.ORTHANC ?? '/usr/sbin/Orthanc';
const asked = [
  '/changes',
  '/instances',
  '/instances/{id}',
  '/instances/{id}/metadata',
  '/series',
  '/series/{id}',
  '/statistics',
  '/studies',
  '/studies/{id}',
];

const isCheck = process.argv.includes('--check');
const present = await readFile(target, 'utf8').catch(() => '');
const installed = versionOf(orthanc);
const described = /OpenAPI of Orthanc (\S+) /.exec(present)?.[1];
if (isCheck && present !== '' && installed !== described) {
  console.error(`NOT CHECKED: orthanc-api.generated.ts is of Orthanc ${described}, here is ${installed ?? 'none'}.`);
  process.exit(0);
}
if (installed === undefined) throw new Error(`No Orthanc at ${orthanc}.`);

const head = `/** Generated from the OpenAPI of Orthanc ${installed} by .ci/generate-orthanc-types.mjs. Do not edit. */\n`;
const text = head + astToString(await openapiTS(partOf(await ownDocument())));
if (!isCheck) await writeFile(target, text);
else if (present !== text) {
  console.error('connectors/dicomweb/orthanc-api.generated.ts is not what Orthanc says: run node .ci/generate-orthanc-types.mjs');
  process.exit(1);
}

function versionOf(program) {
  try {
    return /Orthanc (\d\S*)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1];
  } catch {
    return undefined;
  }
}

/** The operations that are asked, without prose and examples. */
function partOf({ openapi, info, paths }) {
  const kept = asked.map((path) => {
    const get = paths[path]?.get;
    if (!get) throw new Error(`Orthanc ${installed} does not describe GET ${path}.`);
    return [path, { get: withoutProse({ parameters: get.parameters, responses: get.responses }) }];
  });
  return { openapi, info: { title: info.title, version: info.version }, paths: Object.fromEntries(kept) };
}

function withoutProse(node) {
  if (Array.isArray(node)) return node.map(withoutProse);
  if (node === null || typeof node !== 'object') return node;
  const entries = Object.entries(node).filter(([name]) => !['example', 'examples'].includes(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, name === 'description' ? '' : withoutProse(value)]));
}

/**
 * `Orthanc --openapi`. It asks a public demonstration server for its examples and leaves an operation out when that does not answer; so it gets
 * empty answers from here instead, by a proxy on loopback.
 */
async function ownDocument() {
  const folder = await mkdtemp(join(tmpdir(), 'orthanc-openapi-'));
  const [key, cert, file] = ['key.pem', 'cert.pem', 'openapi.json'].map((name) => join(folder, name));
  const servers = [];
  try {
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
    execFileSync('openssl', ['req', '-x509', ...newKey, '-out', cert, '-subj', '/CN=examples', '-days', '1'], {
      stdio: 'ignore',
    });
    const tls = { key: await readFile(key), cert: await readFile(cert) };
    const examples = createTlsServer(tls, (_request, response) => response.end('{}')).listen(0, '127.0.0.1');
    servers.push(examples);
    const proxy = createServer().on('connect', (_request, client) => {
      const tunnel = connect(examples.address().port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        client.pipe(tunnel).pipe(client);
      });
      for (const socket of [client, tunnel]) socket.on('error', () => client.destroy());
    });
    servers.push(proxy.listen(0, '127.0.0.1'));
    await Promise.all(servers.map((server) => server.listening || once(server, 'listening')));
    const env = { https_proxy: `http://127.0.0.1:${proxy.address().port}` };
    await promisify(execFile)(orthanc, [`--openapi=${file}`], { cwd: folder, env, timeout: 60_000, maxBuffer: 16e6 });
    return JSON.parse(await readFile(file, 'utf8'));
  } finally {
    for (const server of servers) server.close();
    await rm(folder, { recursive: true, force: true });
  }
}
