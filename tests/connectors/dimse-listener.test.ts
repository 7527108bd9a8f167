import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Change, RetrieveRequest, StudyDescription, UnreadableItem } from '../../connectors/connector.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { startDcmqrscp } from '../support/dcmqrscp.js';
import { dcmtk } from '../support/dcmtk.js';
import { freePort } from '../support/free-port.js';
import { filesBelow, startOrthanc } from '../support/orthanc.js';
import { describeWithRealData } from '../support/real-data.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { dataSet, part10 } from './support/data-sets.js';
import { partsOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
afterAll(() => outbound.close());

/** What was taken, and what becomes of it: nothing held, until a test says otherwise. */
let taken: Change[];
let outcome: (change: Change) => Promise<readonly UnreadableItem[]>;
let stopping: AbortController;
let port: number;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'listener-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  taken = [];
  outcome = async () => [];
  stopping = new AbortController();
  port = await freePort();
});
afterEach(() => stopping.abort());

async function listen(settings: object = {}, pacs: object = {}) {
  const connector = createConnector(
    'dimse',
    {
      ...{ host: '127.0.0.1', port: 1, calledAeTitle: 'PACS', aeTitle: 'HUB', defaultUtcOffset: '+08:00' },
      ...pacs,
      listen: { port, peers: ['127.0.0.1/32'], ...settings },
    },
    { outbound },
  );
  await connector.listen!(async (change) => {
    const held = await outcome(change);
    taken.push(change);
    return held;
  }, stopping.signal);
  return connector;
}

const titles = ['-aet', 'PACS', '-aec', 'HUB'];
const echo = (...options: string[]) => dcmtk('echoscu', [...(options.length > 0 ? options : titles), '127.0.0.1', port]);
const push = (files: readonly string[], ...options: (string | number)[]) =>
  dcmtk('storescu', ['-v', ...titles, ...options, '127.0.0.1', port, ...files]);

const studiesTaken = (): StudyDescription[] => taken.flatMap((change) => (change.kind === 'study' ? [change.study] : []));

async function file(name: string, bytes: Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** With the File Meta Information that storescu wants. */
async function smallCt(name: string, elements: Parameters<typeof dataSet>[0] = {}): Promise<string> {
  const path = await file(name, part10(dataSet(elements)));
  execFileSync('dcmconv', ['+F', path, path]);
  return path;
}

describeWithRealData('what a PACS pushes', (data) => {
  it('is taken object by object as its listing describes it, in every transfer syntax', async () => {
    const paths = await filesBelow(join(data, 'hospital-c', 'dicom'));
    const orthanc = await startOrthanc();
    try {
      await orthanc.store(paths);
      const pacs = await listen({}, { port: orthanc.dicomPort, calledAeTitle: 'ORTHANC' });
      await stopping.abort();
      stopping = new AbortController();
      await listen();
      const { status } = await push([join(data, 'hospital-c', 'dicom')], '-xt', '+sd', '+r');
      expect(status).toBe(0);
      const { studies } = await read(pacs);
      expect(countsByStudy(studiesTaken())).toEqual(countsByStudy(studies));
      const known = new Map(instancesOf(studies).map((one) => [one.sopInstanceUid, one]));
      for (const one of instancesOf(studiesTaken())) {
        const { digest, transferSyntaxUid, title: _, ...rest } = one;
        expect(rest).toEqual(known.get(one.sopInstanceUid));
        expect(digest).toMatch(/^[\da-f]{64}$/);
        expect(transferSyntaxUid).toMatch(/^1\.2\.840\.10008\.1\.2/);
      }
    } finally {
      await orthanc.stop();
    }
  });

  it('has the same digest in whatever transfer syntax it is sent', async () => {
    await listen();
    const ct = join(data, 'single-files', 'transfer-syntax', 'CTImage_1.2.840.10008.1.2.1.dcm');
    const implicit = join(folder, 'implicit.dcm');
    const bigEndian = join(folder, 'big-endian.dcm');
    const deflated = join(folder, 'deflated.dcm');
    execFileSync('dcmconv', ['+ti', ct, implicit]);
    execFileSync('dcmconv', ['+tb', ct, bigEndian]);
    execFileSync('dcmconv', ['+td', ct, deflated]);
    await push([implicit], '-xi');
    await push([bigEndian], '-xb');
    await push([deflated], '-xd');
    await push([ct]);
    const instances = instancesOf(studiesTaken());
    expect(instances.map((one) => one.transferSyntaxUid)).toEqual([
      '1.2.840.10008.1.2',
      '1.2.840.10008.1.2.2',
      '1.2.840.10008.1.2.1.99',
      '1.2.840.10008.1.2.1',
    ]);
    expect(new Set(instances.map((one) => one.digest)).size).toBe(1);
  });

  it.each(['orthanc', 'dcmqrscp'])('is also how a study is retrieved from a PACS that has only C-MOVE (%s)', async (kind) => {
    const paths = (await filesBelow(join(data, 'hospital-c', 'dicom'))).filter((path) => path.includes('CT-abdomen'));
    const pacs =
      kind === 'orthanc'
        ? await startOrthanc({ settings: { DicomModalities: { hub: ['HUB', '127.0.0.1', port] } } })
        : await startDcmqrscp({ files: paths, destinations: { HUB: port } });
    try {
      if ('store' in pacs) await pacs.store(paths);
      const at =
        'store' in pacs ? { port: pacs.dicomPort, calledAeTitle: 'ORTHANC' } : { port: pacs.port, calledAeTitle: 'QRSCP' };
      const connector = await listen({}, { ...at, retrieve: 'C-MOVE' });
      const { studies, unreadable } = await read(connector);
      expect(unreadable).toEqual([]);
      const [study] = studies;
      const request: RetrieveRequest = {
        studyInstanceUid: study!.studyInstanceUid,
        representation: 'instances',
        instances: studies.flatMap(({ series }) =>
          series.flatMap(({ seriesInstanceUid, instances }) => instances.map((one) => ({ ...one, seriesInstanceUid }))),
        ),
      };
      const parts = await partsOf(await connector.retrieve(request, never()));
      expect(parts).toHaveLength(3);
      // Nobody took them for pushes, and a reader who goes away is no trouble to the next one.
      expect(taken).toEqual([]);
      const { body } = await connector.retrieve(request, never());
      for await (const _ of body) break;
      expect(await partsOf(await connector.retrieve(request, never()))).toHaveLength(3);
      stopping.abort();
      await expect(connector.retrieve(request, never())).rejects.toMatchObject({ code: 'unreachable' });
    } finally {
      await pacs.stop();
    }
  });
});

describe('a listener for pushes', () => {
  it('answers C-ECHO of whom it knows, and rejects others with the reason', async () => {
    await listen();
    expect((await echo()).status).toBe(0);
    expect((await echo('-aet', 'PACS', '-aec', 'OTHER')).output).toContain('Called AE Title Not Recognized');
    expect((await echo('-aet', 'STRANGER', '-aec', 'HUB')).output).toContain('Calling AE Title Not Recognized');
  });

  it('says nothing to hosts that it does not know', async () => {
    await listen({ peers: ['192.0.2.1'] });
    expect((await echo()).status).not.toBe(0);
    expect(await said(Buffer.alloc(0))).toEqual({ bytes: 0, closed: true });
  });

  it('acknowledges after what the object tells was taken', async () => {
    await listen();
    let committed: () => void = () => undefined;
    outcome = () => new Promise((resolve) => (committed = () => resolve([])));
    let isAcknowledged = false;
    const pushed = push([await smallCt('slow.dcm')]).then((result) => {
      isAcknowledged = true;
      return result;
    });
    await sleep(300);
    expect(isAcknowledged).toBe(false);
    committed();
    expect((await pushed).output).toContain('Received Store Response (Success)');
  });

  it('says out of resources when nothing was committed, and takes the next one', async () => {
    await listen();
    outcome = async () => {
      throw new Error('the database is away');
    };
    const path = await smallCt('again.dcm');
    expect((await push([path])).output).toContain('Refused: OutOfResources');
    outcome = async () => [];
    expect((await push([path])).output).toContain('Received Store Response (Success)');
  });

  it('warns of an object that waits in the quarantine, and refuses one that it can not understand', async () => {
    await listen();
    outcome = async (change) => [
      { locator: 'x', reason: change.kind === 'unreadable' ? change.item.reason : 'patient-conflict', detail: 'x' },
    ];
    const good = await smallCt('held.dcm');
    expect((await push([good])).output).toContain('Warning: DataSetDoesNotMatchSOPClass');
    const noStudy = await smallCt('no-study.dcm', { '0020000D': ['UI', ''] });
    expect((await push([noStudy])).output).toContain('Error: CannotUnderstand');
    expect(taken.at(-1)).toMatchObject({ kind: 'unreadable', item: { reason: 'missing-identifier' } });
  });

  it('takes no more associations than it may, nor larger objects', async () => {
    await listen({ maxAssociations: 1, maxObjectBytes: 2_000 });
    let release: (() => void) | undefined;
    outcome = () => new Promise((resolve) => (release = () => resolve([])));
    const first = push([await smallCt('one.dcm')]);
    while (!release) await sleep(10);
    expect((await echo()).output).toContain('Local Limit Exceeded');
    release();
    expect((await first).status).toBe(0);
    outcome = async () => [];
    const large = await smallCt('large.dcm', { '00091010': ['UN', Buffer.alloc(4_000)] });
    expect((await push([large])).output).toContain('Error: CannotUnderstand');
    expect(taken.at(-1)).toMatchObject({ kind: 'unreadable', item: { reason: 'too-large' } });
    expect((await echo()).status).toBe(0);
  });

  it('speaks TLS, and hears only clients with a certificate where it asks for one', async () => {
    const at = (name: string) => join(folder, name);
    const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', at('key'), '-out', at('cert'), ...subject);
    await listen({ tls: { cert: at('cert'), key: at('key'), clientCa: at('cert') } });
    expect((await echo()).status).not.toBe(0);
    const anonymous = await dcmtk('echoscu', ['+tla', '+cf', at('cert'), ...titles, 'localhost', port]);
    expect(anonymous.status).not.toBe(0);
    const known = await dcmtk('echoscu', ['+tls', at('key'), at('cert'), '+cf', at('cert'), ...titles, 'localhost', port]);
    expect(known.status).toBe(0);
    // The hub as a client verifies, too.
    const hub = (tls: object) =>
      createConnector('dimse', { host: 'localhost', port, calledAeTitle: 'HUB', aeTitle: 'PACS', tls }, { outbound }).health(
        never(),
      );
    expect(await hub({ ca: at('cert'), cert: at('cert'), key: at('key') })).toMatchObject({ reachable: true });
    expect(await hub({ cert: at('cert'), key: at('key') })).toMatchObject({ reachable: false });
    expect(await hub({ ca: at('nowhere') })).toEqual({
      reachable: false,
      detail: 'A certificate or key of TLS can not be read.',
    });
  });

  /** What the listener says to these bytes within so long, and whether it hangs up. */
  function said(bytes: Buffer, waitMs = 60_000): Promise<{ bytes: number; closed: boolean }> {
    return new Promise((resolve) => {
      const socket = connectSocket(port, '127.0.0.1');
      const seen = { bytes: 0, closed: false };
      socket.on('data', (chunk) => (seen.bytes += chunk.length));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        seen.closed = true;
        resolve(seen);
      });
      socket.on('connect', () => socket.write(bytes));
      setTimeout(() => {
        resolve({ ...seen });
        socket.destroy();
      }, waitMs);
    });
  }
});
