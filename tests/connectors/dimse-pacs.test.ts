import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Connector, Part10Object, RetrieveRequest, StoreOutcome, StudyDescription } from '../../connectors/connector.js';
import { bufferSource } from '../../connectors/dicom/byte-source.js';
import { text } from '../../connectors/dicom/describe.js';
import { openDicom } from '../../connectors/dicom/part10.js';
import { toDicomJson } from '../../connectors/dicom/to-json.js';
import { createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { type Dcmqrscp, startDcmqrscp } from '../support/dcmqrscp.js';
import { filesBelow, type Orthanc, startOrthanc } from '../support/orthanc.js';
import { freePort } from '../support/free-port.js';
import { describeWithRealData } from '../support/real-data.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { bytesOf, partsOf } from './support/multipart.js';

const outbound = createOutbound({ allowedNetworks: ['127.0.0.1/32'] });
afterAll(() => outbound.close());

const connect = (port: number, calledAeTitle: string, settings: object = {}): Connector =>
  createConnector('dimse', { host: '127.0.0.1', port, calledAeTitle, defaultUtcOffset: '+08:00', ...settings }, { outbound });

interface File extends Part10Object {
  /** After the File Meta Information. */
  dataSet: Buffer;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  name?: string;
}

async function open(path: string): Promise<File> {
  const bytes = await readFile(path);
  const object = await openDicom(bufferSource(bytes));
  const json = toDicomJson(object);
  const { Alphabetic, Ideographic, Phonetic } = (json['00100010']?.Value?.[0] ?? {}) as Record<string, string>;
  return {
    bytes,
    dataSet: bytes.subarray(object.dataSetOffset),
    transferSyntaxUid: object.transferSyntaxUid,
    sopClassUid: text(json, '00080016') ?? '',
    sopInstanceUid: text(json, '00080018') ?? '',
    seriesInstanceUid: text(json, '0020000E') ?? '',
    studyInstanceUid: text(json, '0020000D') ?? '',
    name: [Alphabetic, Ideographic, Phonetic].filter((group) => group !== undefined).join('='),
  };
}

const filesOf = async (...folders: string[]): Promise<File[]> =>
  Promise.all((await Promise.all(folders.map((folder) => filesBelow(folder)))).flat().map((path) => open(path)));

const requestFor = (files: readonly File[], of: Partial<RetrieveRequest> = {}): RetrieveRequest => ({
  studyInstanceUid: files[0]!.studyInstanceUid,
  representation: 'instances',
  instances: files.map(({ seriesInstanceUid, sopInstanceUid, sopClassUid }) => ({
    seriesInstanceUid,
    sopInstanceUid,
    sopClassUid,
    locator: '',
  })),
  ...of,
});

async function store(connector: Connector, files: readonly Part10Object[]): Promise<StoreOutcome[]> {
  async function* each() {
    yield* files;
  }
  const outcomes: StoreOutcome[] = [];
  for await (const outcome of connector.store!(each(), never())) outcomes.push(outcome);
  return outcomes;
}

/** What is searched for, without what only one way of reading shows. */
const searchable = (studies: StudyDescription[]) =>
  studies
    .flatMap((study) =>
      study.series.flatMap((series) =>
        series.instances.map(
          ({ digest: _digest, locator: _locator, transferSyntaxUid: _syntax, title: _title, ...instance }) => ({
            ...{ ...study, claimedInstances: undefined },
            series: { ...series, instances: undefined, requestAttributes: undefined },
            instance,
          }),
        ),
      ),
    )
    .sort((a, b) => (a.instance.sopInstanceUid < b.instance.sopInstanceUid ? -1 : 1));

describeWithRealData('a PACS that is read by DIMSE', (data) => {
  const folders = ['hospital-b', 'hospital-c'].map((hospital) => join(data, hospital, 'dicom'));
  let files: File[];
  let orthanc: Orthanc;
  let qrscp: Dcmqrscp;
  beforeAll(async () => {
    files = await filesOf(...folders);
    const paths = (await Promise.all(folders.map((folder) => filesBelow(folder)))).flat();
    [orthanc, qrscp] = await Promise.all([
      startOrthanc(),
      startDcmqrscp({ files: paths.filter((path) => path.includes('hospital-c')), options: ['+xt'] }),
    ]);
    await orthanc.store(paths);
  });
  afterAll(() => Promise.all([orthanc.stop(), qrscp.stop()]));

  const pacs = () => connect(orthanc.dicomPort, 'ORTHANC');
  const filesOfStudy = (uid: string) => files.filter((file) => file.studyInstanceUid === uid);

  it('shows the same studies, series and instances as its DICOMweb server does', async () => {
    const { studies, unreadable } = await read(pacs());
    expect(unreadable).toEqual([]);
    const web = await read(
      createConnector('dicomweb', { baseUrl: orthanc.dicomwebUrl, defaultUtcOffset: '+08:00' }, { outbound }),
    );
    expect(searchable(studies)).toEqual(searchable(web.studies));
    expect(searchable(studies)).toHaveLength(files.length);
  });

  it('that lists neither SOP classes nor body parts nor counts has them read from its objects', async () => {
    const mine = files.filter((file) => qrscpStudies.has(file.studyInstanceUid));
    const { studies, unreadable } = await read(connect(qrscp.port, 'QRSCP'));
    expect(unreadable).toEqual([]);
    const web = await read(
      createConnector('dicomweb', { baseUrl: orthanc.dicomwebUrl, defaultUtcOffset: '+08:00' }, { outbound }),
    );
    expect(searchable(studies)).toEqual(searchable(web.studies.filter((study) => qrscpStudies.has(study.studyInstanceUid))));
    expect(searchable(studies)).toHaveLength(mine.length);
    expect(instancesOf(studies).every((one) => one.transferSyntaxUid?.startsWith('1.2.840.10008.1.2'))).toBe(true);
  });
  const qrscpStudies = new Set([
    '1.2.826.0.13854362241694438965858641723883466450351448',
    '1.3.6.1.4.1.14519.5.2.1.99.1071.14862055661191295354916571709495',
  ]);

  it.each(['orthanc', 'dcmqrscp'])('delivers a study of two SOP classes and transfer syntaxes unchanged (%s)', async (kind) => {
    const mine = filesOfStudy('1.2.826.0.13854362241694438965858641723883466450351448');
    const connector = kind === 'orthanc' ? pacs() : connect(qrscp.port, 'QRSCP');
    const parts = await partsOf(await connector.retrieve(requestFor(mine), never()));
    expect(parts).toHaveLength(mine.length);
    for (const { body, contentType } of parts) {
      const { dataSetOffset, transferSyntaxUid, isPart10 } = await openDicom(bufferSource(body));
      const same = mine.find((file) => file.dataSet.equals(body.subarray(dataSetOffset)));
      expect({ isPart10, transferSyntaxUid }).toEqual({ isPart10: true, transferSyntaxUid: same?.transferSyntaxUid });
      expect(contentType).toBe(`application/dicom; transfer-syntax=${same?.transferSyntaxUid}`);
    }
  });

  it('delivers a series, an instance, its metadata and a frame of it; only what was asked for', async () => {
    const [first, second] = filesOfStudy('1.2.840.113619.2.176.2025.1499492.7391.1171285944.390');
    const request = requestFor([first!], { seriesInstanceUid: first!.seriesInstanceUid });
    const parts = await partsOf(await pacs().retrieve(request, never()));
    // The PACS writes sequences' lengths its own way: the same attributes and pixels.
    const jsonOf = async (bytes: Uint8Array) => toDicomJson(await openDicom(bufferSource(bytes as Buffer)));
    expect(await Promise.all(parts.map(({ body }) => jsonOf(body)))).toEqual([await jsonOf(first!.bytes)]);
    expect(parts[0]!.body.subarray(-50_000)).toEqual(first!.dataSet.subarray(-50_000));
    const one = { ...request, sopInstanceUid: first!.sopInstanceUid };
    const metadata = await bytesOf(await pacs().retrieve({ ...one, representation: 'metadata' }, never()));
    expect(metadata.toString()).toBe(JSON.stringify([await jsonOf(first!.bytes)]));
    const frames = await partsOf(await pacs().retrieve({ ...one, representation: 'frames', frames: [1] }, never()));
    expect(frames.map(({ body }) => first!.dataSet.includes(body) && body.length > 1_000)).toEqual([true]);
    const missing = requestFor([{ ...second!, sopInstanceUid: '1.2.3' }], { ...one, sopInstanceUid: '1.2.3' });
    await expect(pacs().retrieve(missing, never())).rejects.toMatchObject({ name: 'SourceError', code: 'not-found' });
    await expect(pacs().retrieve({ ...one, representation: 'frames', frames: [2] }, never())).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('is asked for the headers of some objects of a series, and sends no other', async () => {
    const inSeries = (uid: string) => files.filter((file) => file.seriesInstanceUid === uid);
    const [first, second, ...others] = files
      .map((file) => inSeries(file.seriesInstanceUid))
      .sort((a, b) => b.length - a.length)[0]!;
    expect(others).not.toEqual([]);
    const { studyInstanceUid, seriesInstanceUid } = first!;
    const sopInstanceUids = new Set([first!.sopInstanceUid, second!.sopInstanceUid]);
    const headers = await pacs().headers!({ studyInstanceUid, seriesInstanceUid, sopInstanceUids }, never());
    const found = headers.map((change) => change.kind === 'study' && change.study.series[0]?.instances[0]?.sopInstanceUid);
    expect(new Set(found)).toEqual(sopInstanceUids);
  });

  it('ends the stream with an error when an indexed instance does not come', async () => {
    const mine = filesOfStudy('1.3.6.1.4.1.14519.5.2.1.99.1071.14862055661191295354916571709495');
    const request = requestFor([...mine, { ...mine[0]!, sopInstanceUid: '1.2.3' }]);
    await expect(bytesOf(await pacs().retrieve(request, never()))).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('is asked no further when the reader goes away, and has its place back', async () => {
    const mine = filesOfStudy('1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668');
    const connector = connect(orthanc.dicomPort, 'ORTHANC', { maxConcurrent: 3 });
    for (let i = 0; i < 6; i += 1) {
      const { body } = await connector.retrieve(requestFor(mine), never());
      for await (const _ of body) break;
      body.destroy();
    }
    expect(await connector.health(never())).toMatchObject({ reachable: true });
  });

  it('is followed: what grew and what is new is read, nothing else', async () => {
    const [first, ...rest] = filesOfStudy('1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668');
    const growing = await startOrthanc();
    try {
      const source = connect(growing.dicomPort, 'ORTHANC', { recentMinutes: 0.000_01, recentDays: 3_650 });
      await store(source, [first!]);
      const one = await read(source);
      expect(countsByStudy(one.studies)).toEqual({ [first!.studyInstanceUid]: { series: 1, instances: 1 } });
      const same = await read(source, one.cursor);
      expect(same.studies).toEqual([]);
      await store(source, rest.slice(0, 5));
      const grown = await read(source, same.cursor);
      expect(countsByStudy(grown.studies)).toEqual({ [first!.studyInstanceUid]: { series: 1, instances: 6 } });
      expect(grown.studies[0]?.claimedInstances).toBe(6);
    } finally {
      await growing.stop();
    }
  });
});

describeWithRealData('an archive that is asked to keep objects by C-STORE', (data) => {
  let target: Orthanc;
  beforeAll(async () => {
    target = await startOrthanc();
  });
  afterAll(() => target.stop());

  it('keeps every transfer syntax as it is, and says so of each object in the order given', async () => {
    const all = await filesOf(join(data, 'single-files', 'transfer-syntax'), join(data, 'hospital-b', 'dicom'));
    // This Orthanc takes no HTJ2K.
    const files = all.filter((file) => file.transferSyntaxUid !== '1.2.840.10008.1.2.4.203');
    const outcomes = await store(connect(target.dicomPort, 'ORTHANC'), files);
    expect(outcomes.map(({ sopInstanceUid }) => sopInstanceUid)).toEqual(files.map(({ sopInstanceUid }) => sopInstanceUid));
    const seen = new Set<string>();
    const repeated = outcomes.filter(({ sopInstanceUid }) => seen.size === seen.add(sopInstanceUid).size);
    expect(outcomes.filter((one) => !repeated.includes(one)).every(({ stored, status }) => stored && status === 0)).toBe(true);
    // Of the objects that share a SOP Instance UID the archive keeps the first: the same in another transfer syntax is no error, another one is.
    expect(repeated.flatMap(({ status }) => status || [])).toEqual([0x0111, 0x0111]);
    const kept = (await (await fetch(`${target.orthancUrl}/statistics`)).json()) as { CountInstances: number };
    expect(kept.CountInstances).toBe(new Set(files.map((file) => file.sopInstanceUid)).size);
  });

  it('refuses one object and keeps the others', async () => {
    const [first, second] = await filesOf(join(data, 'hospital-b', 'dicom'));
    const odd = { ...first!, sopClassUid: '1.2.840.10008.1.9999', sopInstanceUid: '1.2.3.4' };
    const broken = { ...first!, bytes: Buffer.from('not DICOM at all'), sopInstanceUid: '1.2.3.5' };
    const outcomes = await store(connect(target.dicomPort, 'ORTHANC'), [first!, odd, broken, second!]);
    expect(outcomes.map(({ stored, status }) => [stored, status])).toEqual([
      [true, 0],
      [false, 0x0122],
      [false, 0xc000],
      [true, 0],
    ]);
  });

  it('or a workstation that takes C-STORE and is asked for nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'storescp-'));
    const port = await freePort();
    const child = spawn('storescp', ['-od', folder, '+xa', String(port)], { stdio: 'ignore' });
    try {
      const workstation = connect(port, 'STORESCP');
      for (let i = 0; i < 100 && !(await workstation.health(never())).reachable; i += 1) await sleep(50);
      const files = (await filesOf(join(data, 'hospital-c', 'dicom'))).slice(0, 3);
      const outcomes = await store(workstation, [...files, files[0]!]);
      // the first one once more: it can't be asked whether it has it
      expect(outcomes.map(({ stored, status }) => [stored, status])).toEqual([0, 1, 2, 3].map(() => [true, 0]));
      expect(await filesBelow(folder)).toHaveLength(3);
    } finally {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('that does not answer is unreachable, and its health says why', async () => {
    const connector = connect(1, 'ORTHANC');
    await expect(store(connector, await filesOf(join(data, 'hospital-c', 'dicom')))).rejects.toMatchObject({
      code: 'unreachable',
    });
    expect(await connector.health(never())).toEqual({ reachable: false, detail: 'The source cannot be reached (ECONNREFUSED).' });
    const nowhere = createOutbound({ allowedNetworks: [] });
    const forbidden = createConnector(
      'dimse',
      { host: 'localhost', port: target.dicomPort, calledAeTitle: 'X' },
      { outbound: nowhere },
    );
    expect(await forbidden.health(never())).toMatchObject({ reachable: false });
    await expect(read(forbidden)).rejects.toMatchObject({ code: 'forbidden-address' });
  });
});

describeWithRealData('character sets of answers', (data) => {
  const folder = join(data, 'single-files', 'charset');
  it.each(['orthanc', 'dcmqrscp'])('are decoded, whatever the PACS makes of them (%s)', async (kind) => {
    const files = (await filesOf(folder)).filter((file) => file.studyInstanceUid !== '');
    const paths = (await filesBelow(folder)).filter((path) => !path.includes('per-item'));
    const source = kind === 'orthanc' ? await startOrthanc() : await startDcmqrscp({ files: paths });
    try {
      const port = 'dicomPort' in source ? source.dicomPort : source.port;
      if ('store' in source) await source.store(paths);
      const { studies } = await read(connect(port, kind === 'orthanc' ? 'ORTHANC' : 'QRSCP'));
      const names = new Map(studies.map((study) => [study.studyInstanceUid, study.patient.name?.replace(/=+$/, '')]));
      expect(names.size).toBe(6);
      for (const file of files) expect(names.get(file.studyInstanceUid)).toBe(file.name?.replace(/=+$/, ''));
    } finally {
      await source.stop();
    }
  });
});
