import { chmod, mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RetrieveRequest, StudyDescription } from '../../connectors/connector.js';
import { createFolderConnector } from '../../connectors/folder/folder-connector.js';
import { describeWithRealData } from '../support/real-data.js';
import { countsByStudy, instancesOf, never, read } from './support/changes.js';
import { dataSet, element, part10, uids, uint16 } from './support/data-sets.js';
import { bytesOf, partsOf } from './support/multipart.js';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'folder-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const connect = (folder = root) => createFolderConnector({ root: folder, defaultUtcOffset: '+08:00', clockSkewMs: 0 });

async function put(path: string, more: Parameters<typeof dataSet>[0] = {}): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(join(root, path), part10(dataSet(more)));
}

const instance = (number: number) => ({ '00080018': ['UI', `1.2.3.4.5.${number}`] }) as Parameters<typeof dataSet>[0];

/** Longer than the tick of the clock that files get their times from, which a scan allows for. */
const tick = () => new Promise((resolve) => setTimeout(resolve, 60));

/** Root may read every directory, so that it has to be somebody else for a while. */
async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

function requestFor(study: StudyDescription, more: Partial<RetrieveRequest> = {}): RetrieveRequest {
  const instances = study.series.flatMap(({ seriesInstanceUid, instances }) =>
    instances.map(({ sopInstanceUid, locator }) => ({ seriesInstanceUid, sopInstanceUid, locator })),
  );
  return { studyInstanceUid: study.studyInstanceUid, representation: 'instances', instances, ...more };
}

describe('changes of a folder', () => {
  it('finds the files of subfolders, and not hidden ones, DICOMDIR or what links lead to', async () => {
    await put('a/b/1.dcm', instance(1));
    await put('a/2', instance(2));
    await put('.hidden/3', instance(3));
    await put('DICOMDIR', instance(4));
    const outside = await mkdtemp(join(tmpdir(), 'outside-'));
    await writeFile(join(outside, '5'), part10(dataSet(instance(5))));
    await symlink(outside, join(root, 'link'));
    await symlink(join(outside, '5'), join(root, 'file-link'));
    const { studies, unreadable } = await read(connect());
    await rm(outside, { recursive: true });
    expect(instancesOf(studies).map((one) => one.locator)).toEqual(['a/2', 'a/b/1.dcm']);
    expect(unreadable).toEqual([]);
  });

  it('finds nothing again, and then what was added, changed, moved in as a file or as a directory with old files', async () => {
    await put('a/1', instance(1));
    await tick();
    const first = await read(connect());
    const second = await read(connect(), first.cursor);
    expect(instancesOf(second.studies)).toEqual([]);
    await tick();
    await put('a/2', instance(2));
    const staging = await mkdtemp(join(tmpdir(), 'staging-'));
    await mkdir(join(staging, 'study/series'), { recursive: true });
    await writeFile(join(staging, 'study/series/3'), part10(dataSet(instance(3))));
    await utimes(join(staging, 'study/series/3'), 1, 1);
    await tick();
    const third = await read(connect(), second.cursor);
    expect(instancesOf(third.studies).map((one) => one.locator)).toEqual(['a/2']);
    await tick();
    await rename(join(staging, 'study'), join(root, 'study'));
    await rm(staging, { recursive: true });
    await tick();
    const fourth = await read(connect(), third.cursor);
    expect(instancesOf(fourth.studies).map((one) => one.locator)).toEqual(['study/series/3']);
    await tick();
    await put('a/1', { ...instance(1), '00100020': ['LO', 'P2'] });
    const fifth = await read(connect(), fourth.cursor);
    expect(fifth.studies.map((study) => study.patient.patientId)).toEqual(['P2']);
  });

  it('goes on from a cursor in the middle of a scan: nothing is missed', async () => {
    for (let i = 0; i < 450; i += 1) await put(`${i % 7}/${i}`, instance(i));
    const first = await read(connect(), undefined, 1);
    expect(instancesOf(first.studies)).toHaveLength(200);
    expect(first.cursor).toBeDefined();
    const rest = await read(connect(), first.cursor);
    const locators = [...instancesOf(first.studies), ...instancesOf(rest.studies)].map((one) => one.locator);
    expect(new Set(locators).size).toBe(450);
    expect(locators).toHaveLength(450);
    expect(Math.max(...rest.studies.map((study) => instancesOf([study]).length))).toBeLessThanOrEqual(200);
  });

  it('reads everything again from a cursor that is not one', async () => {
    await put('1', instance(1));
    for (const cursor of ['', 'x', '{}', '{"since":"now"}', '{"since":0,"started":1,"after":"a"}', 'null']) {
      expect(instancesOf((await read(connect(), cursor)).studies)).toHaveLength(1);
    }
  });

  it('puts what cannot be read into quarantine with the reason, and retries it', async () => {
    await put('good', instance(1));
    await writeFile(join(root, 'text.txt'), 'no DICOM');
    await writeFile(join(root, 'empty'), '');
    await writeFile(join(root, 'cut'), part10(dataSet()).subarray(0, 250));
    await put('no-uid', { '0020000D': ['UI', ''] });
    await put('bad-uid', { '0020000E': ['UI', '1.2.x'] });
    const { studies, unreadable } = await read(connect());
    expect(instancesOf(studies)).toHaveLength(1);
    expect(Object.fromEntries(unreadable.map((item) => [item.locator, item.reason]))).toEqual({
      'text.txt': 'not-dicom',
      empty: 'not-dicom',
      cut: 'truncated',
      'no-uid': 'missing-identifier',
      'bad-uid': 'invalid-uid',
    });
    expect((await connect().retry({ locator: 'cut' }, never())).kind).toBe('unreadable');
    await put('cut', instance(2));
    expect(await connect().retry({ locator: 'cut' }, never())).toMatchObject({
      kind: 'study',
      study: { studyInstanceUid: uids.study },
    });
    expect(await connect().retry({ locator: 'gone' }, never())).toMatchObject({
      kind: 'unreadable',
      item: { reason: 'source-error' },
    });
  });

  it('keeps two patients with the same study apart', async () => {
    await put('1', { ...instance(1), '00100020': ['LO', 'P1'] });
    await put('2', { ...instance(2), '00100020': ['LO', 'P2'] });
    const { studies } = await read(connect());
    expect(studies.map((study) => [study.studyInstanceUid, study.patient.patientId])).toEqual([
      [uids.study, 'P1'],
      [uids.study, 'P2'],
    ]);
  });

  it('says that a folder is not there', async () => {
    const missing = connect(join(root, 'missing'));
    await expect(read(missing)).rejects.toMatchObject({ code: 'unreachable' });
    expect(await missing.health(never())).toMatchObject({ reachable: false });
    expect(await connect().health(never())).toMatchObject({ reachable: true });
  });

  it('stops when it is told to', async () => {
    await put('1', instance(1));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(connect().changes(undefined, signal)[Symbol.asyncIterator]().next()).rejects.toThrow('enough');
  });

  it('shows a file whose name is not UTF-8', async () => {
    await put('1', instance(1));
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from('d5c5', 'hex')]), part10(dataSet(instance(2))));
    const { studies, unreadable } = await read(connect());
    expect(instancesOf(studies)).toHaveLength(1);
    expect(unreadable).toMatchObject([{ reason: 'source-error', detail: expect.stringContaining('UTF-8') }]);
  });

  it('goes on after a directory that may not be read', async () => {
    await put('closed/1', instance(1));
    await put('open/2', instance(2));
    await chmod(root, 0o755);
    await chmod(join(root, 'closed'), 0);
    const { studies, unreadable } = await asOrdinaryUser(() => read(connect()));
    await chmod(join(root, 'closed'), 0o700);
    expect(instancesOf(studies).map((one) => one.locator)).toEqual(['open/2']);
    expect(unreadable).toMatchObject([{ locator: 'closed', reason: 'source-error' }]);
  });
});

describe('retrieval from a folder', () => {
  it('finds nothing by a locator that leaves the root', async () => {
    await put('a/1', instance(1));
    const [study] = (await read(connect())).studies;
    await writeFile(`${root}.secret`, part10(dataSet(instance(1))));
    await symlink(`${root}.secret`, join(root, 'link'));
    for (const locator of [
      `../${root.split('/').at(-1)}.secret`,
      '/etc/passwd',
      'a/../../x',
      'link',
      'a//1',
      './a/1',
      'a\0/1',
      '',
      'a',
      'x'.repeat(1001),
    ]) {
      const request = requestFor(study!, {
        instances: [{ seriesInstanceUid: uids.series, sopInstanceUid: '1.2.3.4.5.1', locator }],
      });
      await expect(connect().retrieve(request, never())).rejects.toMatchObject({ name: 'SourceError', code: 'not-found' });
    }
    await rm(`${root}.secret`);
  });

  it('refuses a file that no longer holds the instance that was authorised', async () => {
    await put('1', instance(1));
    const [study] = (await read(connect())).studies;
    await put('1', { ...instance(1), '0020000D': ['UI', '1.2.9'] });
    await expect(connect().retrieve(requestFor(study!), never())).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('ends the stream with an error when a later file is gone', async () => {
    await put('1', instance(1));
    await put('2', instance(2));
    const [study] = (await read(connect())).studies;
    await rm(join(root, '2'));
    const reply = await connect().retrieve(requestFor(study!), never());
    await expect(bytesOf(reply)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('gives a data set without File Meta Information the header of PS3.10', async () => {
    await writeFile(join(root, 'bare'), dataSet());
    const [study] = (await read(connect())).studies;
    const [part] = await partsOf(await connect().retrieve(requestFor(study!), never()));
    await writeFile(join(root, 'again.dcm'), part!.body);
    const [again] = (await read(connect(), JSON.stringify({ since: 0, started: 1, after: ['a'] }))).studies;
    expect(part?.body.subarray(128, 132).toString()).toBe('DICM');
    expect(again?.series[0]?.instances.map((one) => one.transferSyntaxUid)).toEqual([
      '1.2.840.10008.1.2.1',
      '1.2.840.10008.1.2.1',
    ]);
    expect(part?.body.subarray(-dataSet().length)).toEqual(dataSet());
  });

  it('gives frames that the instance has, and no others', async () => {
    const pixels = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]);
    const image = Buffer.concat([
      dataSet({
        '00280002': ['US', uint16(1)],
        '00280008': ['IS', '2'],
        '00280010': ['US', uint16(2)],
        '00280011': ['US', uint16(2)],
        '00280100': ['US', uint16(8)],
      }),
      element('7FE00010', 'OB', pixels),
    ]);
    await writeFile(join(root, 'image'), part10(image));
    const [study] = (await read(connect())).studies;
    const frames = (numbers: number[]) =>
      connect().retrieve(
        requestFor(study!, { representation: 'frames', sopInstanceUid: uids.instance, frames: numbers }),
        never(),
      );
    expect(await partsOf(await frames([2, 1]))).toEqual([
      { contentType: 'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1', body: pixels.subarray(4) },
      { contentType: 'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1', body: pixels.subarray(0, 4) },
    ]);
    for (const numbers of [[3], [0], [], [1.5], [-1]]) await expect(frames(numbers)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describeWithRealData('hospital A as a folder', (data) => {
  const connector = () => connect(join(data, 'hospital-a'));

  it('has its three studies, counted exactly, and two files with one SOP Instance UID', async () => {
    const { studies, unreadable } = await read(connector());
    expect(unreadable).toEqual([]);
    expect(countsByStudy(studies)).toEqual({
      '1.2.276.0.7230010.3.1.2.8323329.6904.1517875201.850818': { series: 1, instances: 1 },
      '1.2.840.113654.2.55.242841386983064378162007136685545369722': { series: 2, instances: 144 },
      '1.3.6.1.4.1.14519.5.2.1.99.1071.11697636508537348379117084474190': { series: 3, instances: 3 },
    });
    const twins = instancesOf(studies).filter(
      (one) => one.sopInstanceUid === '1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819',
    );
    expect(new Set(twins.map((one) => one.digest)).size).toBe(2);
  });

  it('delivers every file of a study byte by byte', async () => {
    const { studies } = await read(connector());
    const study = studies.find((one) => one.series.length === 3)!;
    const request = requestFor(study);
    const parts = await partsOf(await connector().retrieve(request, never()));
    const files = await Promise.all(request.instances.map(({ locator }) => readFile(join(data, 'hospital-a', locator))));
    expect(parts.map((part) => part.body.equals(files[parts.indexOf(part)]!))).toEqual([true, true, true]);
  });

  it('delivers the metadata of a series as DICOM JSON without pixel data', async () => {
    const { studies } = await read(connector());
    const study = studies.find((one) => instancesOf([one]).length > 100)!;
    const reply = await connector().retrieve(requestFor(study, { representation: 'metadata' }), never());
    const metadata = JSON.parse((await bytesOf(reply)).toString());
    expect(reply.contentType).toBe('application/dicom+json');
    expect(metadata).toHaveLength(144);
    const images = metadata.filter((one: { '7FE00010'?: object }) => one['7FE00010']);
    expect(images).toHaveLength(143);
    expect(new Set(images.map((one: { '7FE00010': object }) => JSON.stringify(one['7FE00010'])))).toEqual(
      new Set(['{"vr":"OB","BulkDataURI":"bulkdata/7FE00010"}']),
    );
    expect(metadata.every((one: object) => '0020000D' in one)).toBe(true);
  });
});
