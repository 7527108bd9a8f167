import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { statusOf } from '../../../hub/dicomweb/stow-rs.js';
import { storeInstancesResponse } from '../../../hub/dicomweb/stow/store-instances-response.js';
import { pushedObjects } from '../../../hub/dicomweb/stow/pushed-objects.js';
import { addSource } from '../../../hub/ingest/hospital.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import { type Dcmqrscp, startDcmqrscp } from '../../support/dcmqrscp.js';
import { type Orthanc, startOrthanc } from '../../support/orthanc.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { message } from './multipart.js';

let hub: RunningHub;
let folder: string;
let pacs: Orthanc;
/** One that speaks DIMSE alone, lists little, and replaces what it is sent again. */
let qrscp: Dcmqrscp;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stow-'));
  [hub, pacs, qrscp] = await Promise.all([
    startHub({ config: { maxObjectBytes: 300_000 } }),
    startOrthanc(),
    startDcmqrscp({ files: [] }),
  ]);
  await hub.join(['a', 'b', 'c', 'd'].map((id) => ({ id, assigner: `urn:oid:1.2.3.${id.charCodeAt(0)}` })));
  for (const id of ['a', 'b', 'c', 'd']) tokens[id] = await hub.system(id);
  await hub.enrol({ username: 'physician', role: 'physician', organizationId: 'a' });
  tokens['physician'] = await hub.person('physician');
  await mkdir(join(folder, 'a'));
  await addSource(hub.db, {
    id: 'a.folder',
    organizationId: 'a',
    kind: 'folder',
    store: true,
    settings: { root: join(folder, 'a'), clockSkewMs: 0 },
  });
  const settings = { baseUrl: pacs.dicomwebUrl, orthancUrl: pacs.orthancUrl };
  await addSource(hub.db, { id: 'b.pacs', organizationId: 'b', kind: 'dicomweb', store: true, settings });
  const dimse = { host: '127.0.0.1', port: qrscp.port, calledAeTitle: 'QRSCP' };
  await addSource(hub.db, { id: 'd.pacs', organizationId: 'd', kind: 'dimse', store: true, settings: dimse });
  await hub.hub.sources.idle();
});
afterAll(async () => {
  await Promise.all([hub?.stop(), pacs?.stop(), qrscp?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

interface Phantom {
  uid: string;
  files: Buffer[];
  sopInstanceUids: string[];
}

/** A study of two series, four objects. */
async function phantom(seed: number, patient = `P-${seed}`): Promise<Phantom> {
  const uid = `1.2.826.0.1.3680043.10.1451.23.${100 + seed}`;
  const { files } = await writeChestCt({
    folder: join(folder, 'sent', uid),
    patient: { id: patient, name: 'Wang^XiaoDong=王^小东' },
    study: { uid, started: '2026-01-02T10:00:00', accessionNumber: `A-${seed}` },
    slices: 3,
    rows: 16,
    nodules: 0,
    localizer: true,
    seed,
  });
  return {
    uid,
    files: await Promise.all(files.map((f) => readFile(f.path))),
    sopInstanceUids: files.map((f) => f.sopInstanceUid),
  };
}

interface Stored {
  status: number;
  text: string;
  body: Record<string, { Value?: Record<string, { Value: unknown[] }>[] }>;
}

async function push(
  objects: readonly Buffer[],
  { token = 'a', path = '', headers = {} as Record<string, string>, body = undefined as Buffer | undefined } = {},
): Promise<Stored> {
  const { contentType, body: whole } = message(objects);
  const answer = await hub
    .http()
    .post(`/dicomweb/studies${path}`)
    .set({ authorization: `Bearer ${tokens[token]}`, 'content-type': contentType, accept: 'application/dicom+json', ...headers })
    .buffer(true)
    .parse((res, done) => {
      let text = '';
      res
        .setEncoding('utf8')
        .on('data', (chunk: string) => (text += chunk))
        .on('end', () => done(null, text));
    })
    .send(body ?? whole);
  const text = String(answer.body);
  return { status: answer.status, text, body: text.startsWith('{') ? JSON.parse(text) : {} };
}

const failuresOf = ({ body }: Stored, tag = '00081198') =>
  (body[tag]?.Value ?? []).map((item) => [item['00081155']?.Value[0], item['00081197']?.Value[0]]);
const storedOf = ({ body }: Stored) => (body['00081199']?.Value ?? []).map((item) => item['00081155']?.Value[0]);

const get = (path: string, token = 'a') => hub.http().get(path).set('authorization', `Bearer ${tokens[token]}`);
const instancesOf = async (uid: string, token = 'a'): Promise<number> => {
  const { status, text } = await get(`/dicomweb/studies?StudyInstanceUID=${uid}`, token);
  return status === 200 ? JSON.parse(text)[0]['00201208'].Value[0] : 0;
};
const rows = async (statement: string, values: unknown[] = []) => (await hub.db.pool.query(statement, values)).rows;
const quarantined = async (custodian: string): Promise<string[]> =>
  (
    await rows("select reason from quarantine where custodian_id = $1 and state = 'held' order by first_seen, id", [custodian])
  ).map((r) => r.reason);
const versionOf = async (uid: string): Promise<number> =>
  (
    await rows(
      "select version from resource r join study_claim c on c.study_id = r.id where r.type = 'ImagingStudy' and c.study_instance_uid = $1",
      [uid],
    )
  )[0]?.version;
const kept = async (uid: string): Promise<Buffer[]> => {
  const entries = await readdir(join(folder, 'a', 'received', uid), { recursive: true, withFileTypes: true });
  return Promise.all(entries.filter((e) => e.isFile()).map((e) => readFile(join(e.parentPath, e.name))));
};
const sorted = (buffers: readonly Buffer[]): string[] => buffers.map((b) => b.toString('base64')).sort();

describe('what a hospital pushes by STOW-RS', () => {
  it('is kept by its own archive, found at once, and not taken again when the archive tells of it', async () => {
    const { uid, files, sopInstanceUids } = await phantom(1);
    const answer = await push(files);
    expect(answer.status).toBe(200);
    expect(await instancesOf(uid)).toBe(4);
    expect(storedOf(answer)).toEqual(sopInstanceUids);
    expect(answer.body['00081190']).toEqual({ vr: 'UR', Value: [`${hub.url}/dicomweb/studies/${uid}?custodian=a`] });
    expect(answer.body['00081198']).toBeUndefined();
    expect(sorted(await kept(uid))).toEqual(sorted(files));
    const version = await versionOf(uid);
    await hub.hub.sources.idle();
    expect([await versionOf(uid), await instancesOf(uid), await quarantined('a')]).toEqual([version, 4, []]);
    const instance = answer.body['00081199']?.Value?.[0]?.['00081190']?.Value[0] as string;
    const { pathname, search } = new URL(instance);
    const retrieved = await get(`${pathname}${search}`)
      .buffer(true)
      .parse((res, done) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => done(null, Buffer.concat(chunks)));
      });
    expect(retrieved.status).toBe(200);
    expect(retrieved.body.includes(files[0])).toBe(true);
    const [entry] = await rows(
      "select agent, outcome, patient_id, entity, detail from audit_event where subtype = 'store' order by recorded desc, id desc limit 1",
    );
    expect(entry).toMatchObject({ agent: 'Client/a.hospital-system', outcome: 0, detail: '4 objects stored, 0 refused' });
    expect(entry.patient_id).not.toBe('');
    expect(entry.entity[0]).toMatch(/^ImagingStudy\//);

    const again = await push(files, { path: `/${uid}` });
    expect([again.status, storedOf(again).length, await versionOf(uid)]).toEqual([200, 4, version]);
  });

  it('grows a study, object by object, in any order and in parallel', async () => {
    const { uid, files } = await phantom(2);
    const answers = await Promise.all([...files].reverse().map((file) => push([file])));
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200, 200]);
    expect(await instancesOf(uid)).toBe(4);
  });

  it('never replaces an object: the first one stands', async () => {
    const { uid, files, sopInstanceUids } = await phantom(3);
    await push(files.slice(0, 2));
    const other = Buffer.from(files[0]!);
    other[other.length - 1]! ^= 1;
    const answer = await push([other, files[2]!]);
    expect(answer.status).toBe(202);
    expect([failuresOf(answer), storedOf(answer)]).toEqual([[[sopInstanceUids[0], 0x0111]], [sopInstanceUids[2]]]);
    expect(sorted(await kept(uid))).toEqual(sorted(files.slice(0, 3)));
    const both = await push([other]);
    expect([both.status, failuresOf(both)]).toEqual([409, [[sopInstanceUids[0], 0x0111]]]);
  });

  it('says of each object why it is not taken, and keeps the reason in the quarantine', async () => {
    const { uid, files, sopInstanceUids } = await phantom(4);
    const before = (await quarantined('a')).length;
    const withoutMeta = files[1]!.subarray(132);
    const anothers = Buffer.from(files[2]!);
    const at = anothers.indexOf(Buffer.from(sopInstanceUids[2]!, 'latin1'));
    anothers[at + 2]! = anothers[at + 2] === 0x33 ? 0x34 : 0x33;
    const answer = await push([
      files[0]!,
      Buffer.from('no DICOM at all'),
      files[1]!.subarray(0, files[1]!.length - 100),
      withoutMeta,
      anothers,
      Buffer.alloc(0),
    ]);
    expect(answer.status).toBe(202);
    expect(storedOf(answer)).toEqual([sopInstanceUids[0]]);
    expect(failuresOf(answer)).toEqual([
      [sopInstanceUids[1], 0xc000],
      [sopInstanceUids[2], 0xc000],
    ]);
    expect(failuresOf(answer, '0008119A')).toEqual([
      [undefined, 0xc000],
      [undefined, 0xc000],
      [undefined, 0xc000],
    ]);
    const held = (await quarantined('a')).slice(before);
    expect(held.sort()).toEqual(['malformed', 'not-dicom', 'not-dicom', 'not-dicom', 'truncated']);
    expect(await instancesOf(uid)).toBe(1);
    // once for the same bytes
    await push([Buffer.from('no DICOM at all')]);
    expect((await quarantined('a')).length).toBe(before + 5);
    const [entry] = await rows(
      "select outcome, detail, entity from audit_event where subtype = 'store' order by recorded desc, id desc limit 1",
    );
    expect(entry).toEqual({ outcome: 4, detail: '0 objects stored, 1 refused', entity: ['ImagingStudy'] });
  });

  it('is not indexed under another patient: it stays in the archive and in the quarantine', async () => {
    const { uid, files } = await phantom(5, 'P-5');
    await push(files.slice(0, 1));
    const other = await phantom(6, 'P-6');
    const answer = await push([replaced(other.files[1]!, other.uid, uid)]);
    expect(answer.status).toBe(409);
    expect(failuresOf(answer)[0]?.[1]).toBe(0x0110);
    expect([await instancesOf(uid), (await quarantined('a')).at(-1)]).toEqual([1, 'patient-conflict']);
  });

  it('has to be of the study that the request names', async () => {
    const { uid, files, sopInstanceUids } = await phantom(7);
    const answer = await push(files.slice(0, 2), { path: '/1.2.3' });
    expect([answer.status, failuresOf(answer)]).toEqual([409, sopInstanceUids.slice(0, 2).map((one) => [one, 0xa900])]);
    expect(await instancesOf(uid)).toBe(0);
  });

  it('is found within moments of its last byte, while the sender still sends others', async () => {
    const { uid, files } = await phantom(8);
    const { contentType, body } = message(files, 'line');
    const second = body.indexOf('--line\r\n', 10);
    const sending = httpRequest(`${hub.url}/dicomweb/studies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens['a']}`, 'content-type': contentType },
    });
    const answered = once(sending, 'response');
    sending.write(body.subarray(0, second + 8));
    // what comes next is not sent before
    while ((await instancesOf(uid)) === 0) await sleep(10);
    sending.end(body.subarray(second + 8));
    const [response] = await answered;
    expect(response.statusCode).toBe(200);
    response.resume();
    expect(await instancesOf(uid)).toBe(4);
  });

  it('goes to a PACS as well, which tells of it in its own words later, and nothing is taken twice', async () => {
    const { uid, files, sopInstanceUids } = await phantom(9);
    const answer = await push(files, { token: 'b' });
    expect([answer.status, storedOf(answer)]).toEqual([200, sopInstanceUids]);
    expect(await instancesOf(uid, 'b')).toBe(4);
    expect(await (await fetch(`${pacs.orthancUrl}/statistics`)).json()).toMatchObject({ CountInstances: 4 });
    const version = await versionOf(uid);
    await hub.hub.sources.idle();
    expect([await versionOf(uid), await instancesOf(uid, 'b'), await quarantined('b')]).toEqual([version, 4, []]);
    await hub.hub.sources.reindex('b.pacs');
    await hub.hub.sources.idle();
    expect([await versionOf(uid), await quarantined('b')]).toEqual([version, []]);
    expect((await push(files, { token: 'b' })).status).toBe(200);
  });
});

describe('a hospital whose PACS speaks DIMSE alone', () => {
  it('has what its system pushes kept there by C-STORE, indexed as the PACS has it, and nothing is taken twice', async () => {
    const { uid, files, sopInstanceUids } = await phantom(20);
    const answer = await push(files, { token: 'd' });
    expect([answer.status, storedOf(answer), failuresOf(answer)]).toEqual([200, sopInstanceUids, []]);
    expect(await instancesOf(uid, 'd')).toBe(4);
    const version = await versionOf(uid);
    await hub.hub.sources.idle();
    expect([await versionOf(uid), await instancesOf(uid, 'd'), await quarantined('d')]).toEqual([version, 4, []]);
    const again = await push(files, { token: 'd', path: `/${uid}` });
    expect([again.status, storedOf(again).length, await versionOf(uid)]).toEqual([200, 4, version]);
    const pictures = await get(`/dicomweb/studies/${uid}/metadata?custodian=d`, 'd');
    expect(JSON.parse(pictures.text)).toHaveLength(4);
  });

  it('never has an object replaced, and hears of each that it does not take', async () => {
    const { files, sopInstanceUids } = await phantom(21);
    expect((await push(files.slice(0, 2), { token: 'd' })).status).toBe(200);
    const other = replaced(files[0]!, 'A-21', 'B-21');
    const answer = await push([other, files[2]!], { token: 'd' });
    expect([answer.status, failuresOf(answer), storedOf(answer)]).toEqual([
      202,
      [[sopInstanceUids[0], 0x0111]],
      [sopInstanceUids[2]],
    ]);
    const none = await push([other], { token: 'd' });
    expect([none.status, failuresOf(none)]).toEqual([409, [[sopInstanceUids[0], 0x0111]]]);
    const [entry] = await rows(
      "select outcome, detail from audit_event where subtype = 'store' order by recorded desc, id desc limit 1",
    );
    expect(entry).toEqual({ outcome: 4, detail: '0 objects stored, 1 refused' });
    const kept = await get(`/dicomweb/studies?AccessionNumber=A-21&custodian=d`, 'd');
    expect(JSON.parse(kept.text)).toHaveLength(1);
    await hub.hub.sources.idle();
    expect(await quarantined('d')).toEqual([]);
  });

  it('that is away keeps nothing, and its sender is told so', async () => {
    const { uid, files } = await phantom(22);
    await qrscp.stop();
    expect((await push(files, { token: 'd' })).status).toBe(502);
    expect(await instancesOf(uid, 'd')).toBe(0);
  });
});

/** Bytes of a file with one UID for another of the same length. */
const replaced = (file: Buffer, from: string, to: string): Buffer =>
  Buffer.from(file.toString('latin1').replaceAll(from, to), 'latin1');

describe('a push is refused', () => {
  it('to who does not write studies, to a hospital that keeps none, and to who is nobody, on record', async () => {
    const { files } = await phantom(10);
    expect((await push(files, { token: 'physician' })).status).toBe(403);
    const [entry] = await rows(
      "select agent, outcome from audit_event where subtype = 'store' order by recorded desc, id desc limit 1",
    );
    expect(entry).toEqual({ agent: 'Practitioner/physician', outcome: 4 });
    expect((await push(files, { token: 'c' })).status).toBe(409);
    expect((await push(files, { token: 'nobody' })).status).toBe(401);
  });

  it('where the message is none', async () => {
    const { uid, files } = await phantom(11);
    const { body, contentType } = message(files, 'b');
    const type = (text: string) => ({ headers: { 'content-type': text } });
    for (const [status, given] of [
      [415, type('application/dicom')],
      [415, type('multipart/related; type="application/dicom+json"; boundary=b')],
      [415, type('multipart/form-data; boundary=b')],
      [400, type('multipart/related; type="application/dicom"')],
      [406, { headers: { accept: 'application/dicom+xml' } }],
      [400, { body: Buffer.from('--b--\r\n'), ...type(contentType) }],
      [400, { body: Buffer.from('nothing of the kind'), ...type(contentType) }],
      [400, { body: Buffer.from(`--b\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`), ...type(contentType) }],
      [400, { body: Buffer.from('--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--\r\n'), ...type(contentType) }],
      [400, { path: '/not.a.uid' }],
    ] as const)
      expect([given, (await push(files.slice(0, 1), given)).status]).toEqual([given, status]);
    // one that breaks off: what came whole before may be kept, what did not is not
    expect((await push([], { body: body.subarray(0, body.length - files[3]!.length), ...type(contentType) })).status).toBe(400);
    expect(await instancesOf(uid)).toBeLessThanOrEqual(3);
  });

  it('where an object is larger than is taken', async () => {
    const { files } = await phantom(12);
    expect((await push([files[0]!, Buffer.alloc(300_001)])).status).toBe(413);
  });
});

it('says of what an archive keeps otherwise than it was sent that it is so', () => {
  const one = { sopClassUid: '1.2', studyInstanceUid: '1.3', seriesInstanceUid: '1.4', sopInstanceUid: '1.5' };
  const pushed = [one, { ...one, sopInstanceUid: '1.6', warning: 0xb000 }];
  expect([statusOf(pushed), statusOf([one]), statusOf([{ ...one, failure: 0x0110, warning: 0xb000 }])]).toEqual([202, 200, 409]);
  const { '00081199': stored, '00081198': failed } = storeInstancesResponse(pushed, (path) => path);
  expect(failed).toBeUndefined();
  expect(stored?.Value).toMatchObject([{ '00081155': { Value: ['1.5'] } }, { '00081196': { vr: 'US', Value: [0xb000] } }]);
});

it('reads any message the same, however its bytes arrive', async () => {
  const boundary = 'x-y';
  const objects = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      // what looks like the delimiter and is none
      fc.constantFrom('\r\n--x-', '\r\n--', '--x-', '\r\n\r\n', '\r\n--x\r\n--x-z').map((text) => Buffer.from(text)),
    ),
    { minLength: 1, maxLength: 4 },
  );
  const limits = { objectBytes: 1000, objects: 10, idleMs: 1000, totalMs: 1000 };
  await fc.assert(
    fc.asyncProperty(objects, fc.array(fc.nat(60), { maxLength: 8 }), async (given, cuts) => {
      const { contentType, body } = message(given, boundary);
      const ends = [...new Set([...cuts, body.length])].filter((c) => c > 0 && c <= body.length).sort((a, b) => a - b);
      const chunks = ends.map((end, i) => body.subarray(ends[i - 1] ?? 0, end));
      const read: Buffer[] = [];
      for await (const object of pushedObjects(contentType, Readable.from(chunks), limits)) read.push(object);
      expect(read.map((b) => b.toString('hex'))).toEqual(given.map((b) => b.toString('hex')));
    }),
    { numRuns: 200 },
  );
});
