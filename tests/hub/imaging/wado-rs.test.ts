import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import supertest from 'supertest';
import { type Connector, SourceError, type StudyDescription } from '../../../connectors/connector.js';
import type { Caller } from '../../../hub/access/caller.js';
import { breakTheGlass } from '../../../hub/access/exceptional/break-the-glass.js';
import { retrieveSeries } from '../../../hub/imaging/retrieve.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { as } from '../api/stand-in.js';
import { caller } from '../identity/hospitals.js';
import { type Archives, openArchives, STUDY } from './archives.js';

let world: Archives;
let study: StudyDescription;
let studyId: string;
let patientId: string;
const physician = caller('a', 'physician');
const stranger = caller('b', 'physician');

beforeAll(async () => {
  world = await openArchives();
  ({ study, studyId, patientId } = await world.archive('a', STUDY));
});
afterAll(() => world.close());

const get = (path: string, who: Caller = physician) =>
  supertest(world.server.listener).get(`/dicomweb/studies/${path}`).set('authorization', as(who));
const binary = (path: string, who?: Caller) =>
  get(path, who)
    .buffer(true)
    .parse((res, done) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => done(null, Buffer.concat(chunks)));
    });

/** Bodies of the parts of a multipart message, cut by a reader of its own. */
function partsOf(contentType: string, body: Buffer): Buffer[] {
  const boundary = `--${/boundary="?([^";]+)/.exec(contentType)![1]}`;
  const text = body.toString('latin1');
  return text
    .split(boundary)
    .slice(1, -1)
    .map((part) => Buffer.from(part.slice(part.indexOf('\r\n\r\n') + 4, -2), 'latin1'));
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(entries.filter((e) => e.isFile()).map(async (e) => sha(await readFile(join(e.parentPath, e.name)))));
}

const lastEntry = async () =>
  (
    await world.db.query(
      sql`select agent, subtype, outcome, patient_id, custodian_id, entity, basis, detail from audit_event order by id desc limit 1`,
    )
  )[0];
const first = () => study.series[0]!;
const instancePath = () => `${STUDY}/series/${first().seriesInstanceUid}/instances/${first().instances[0]!.sopInstanceUid}`;

/** Nothing can be put on record until what this returns is called. */
async function holdAudit(): Promise<() => Promise<void>> {
  const holding = await world.db.pool.connect();
  await holding.query('begin; lock table audit_event in share mode');
  return async () => {
    await holding.query('rollback');
    holding.release();
  };
}

describe('WADO-RS', () => {
  it('gives a study as its files are, byte for byte, and has it on record', async () => {
    const answer = await binary(STUDY)
      .expect(200)
      .expect('content-type', /^multipart\/related; type="application\/dicom"/)
      .expect('cache-control', 'no-store');
    const parts = partsOf(answer.headers['content-type']!, answer.body);
    expect(parts.map(sha).sort()).toEqual((await filesOf(join(world.folder, 'a', STUDY))).sort());
    expect(parts).toHaveLength(4);
    expect(await lastEntry()).toMatchObject({
      agent: physician.id,
      subtype: 'retrieve',
      outcome: 0,
      patient_id: patientId,
      custodian_id: 'a',
      entity: [`ImagingStudy/${studyId}`],
      basis: 'own',
    });
  });

  it('gives a series, an instance, frames, and the metadata of each', async () => {
    for (const series of study.series) {
      const answer = await binary(`${STUDY}/series/${series.seriesInstanceUid}`).expect(200);
      expect(partsOf(answer.headers['content-type']!, answer.body)).toHaveLength(series.instances.length);
    }
    const instance = await binary(instancePath()).expect(200);
    const digests = partsOf(instance.headers['content-type']!, instance.body).map(sha);
    expect(digests).toEqual([first().instances[0]!.digest]);
    const frame = await binary(`${instancePath()}/frames/1`)
      .expect(200)
      .expect('content-type', /^multipart\/related; type="application\/octet-stream"/);
    expect(partsOf(frame.headers['content-type']!, frame.body)[0]).toHaveLength(16 * 16 * 2);
    for (const [path, count] of [
      [STUDY, 4],
      [`${STUDY}/series/${first().seriesInstanceUid}`, first().instances.length],
      [instancePath(), 1],
    ] as const) {
      const { body, text } = await get(`${path}/metadata`).expect(200).expect('content-type', 'application/dicom+json');
      expect(Object.keys(body).length > 0 ? body : JSON.parse(text)).toHaveLength(count);
    }
  });

  it.each([
    ['not-a-uid', 400],
    [`${STUDY}${'.1'.repeat(40)}`, 400],
    [`${STUDY}/series/..%2f..%2fetc`, 400],
    [`${STUDY}?x=1`, 400],
    [`${STUDY}?custodian=%27`, 400],
    [`${STUDY}/series/1.2.3`, 404],
    ['1.2.3.4.5', 404],
    [`${STUDY}?custodian=b`, 404],
  ])('answers %s with %i and an OperationOutcome', async (path, status) => {
    const { body } = await get(path).expect(status);
    expect(body.resourceType).toBe('OperationOutcome');
  });

  it.each([
    ['0', 400],
    ['1,', 400],
    ['a', 400],
    ['-1', 400],
    ['2', 404],
    ['1,999999999', 404],
  ])('answers frames %s with %i', async (frames, status) => {
    await get(`${instancePath()}/frames/${frames}`).expect(status);
  });

  it('answers at most a thousand frames at once', async () => {
    await get(`${instancePath()}/frames/${'1,'.repeat(1000)}1`).expect(400);
  });

  it('answers in its own media types only', async () => {
    await get(STUDY).set('accept', 'image/jpeg').expect(406);
    await get(`${STUDY}/metadata`).set('accept', 'application/dicom+xml').expect(406);
    for (const accept of [
      '*/*',
      'multipart/related; type="application/dicom"; transfer-syntax=*',
      'multipart/related; type=application/dicom',
      'image/jpeg, */*;q=0.1',
    ])
      await get(STUDY).set('accept', accept).expect(200);
  });

  it('of a stranger’s study is like that of none, and of a registered patient’s is refused with its reason', async () => {
    const unknown = await get('1.2.3.4.5', stranger).expect(404);
    const hidden = await get(STUDY, stranger).expect(404);
    expect(hidden.body).toEqual(unknown.body);
    expect(await lastEntry()).toMatchObject({ agent: stranger.id, outcome: 4, patient_id: patientId, detail: 'no-basis' });
    await world.db.query(sql`insert into patient_registration (organization_id, patient_id) values ('b', ${patientId})`);
    const refused = await get(STUDY, stranger).expect(403);
    expect(refused.body.issue[0].details.coding[0].code).toBe('no-basis');
    await get(`${instancePath()}/metadata`, stranger).expect(403);
    await world.db.query(sql`
      insert into access_grant (id, task_id, custodian_id, recipient_id, patient_id, resources, valid_from, granted_by)
      values ('g', 't', 'a', 'b', ${patientId}, ${[`ImagingStudy/${studyId}`]}, now(), 'a')`);
    await get(STUDY, stranger).expect(200);
    expect(await lastEntry()).toMatchObject({ agent: stranger.id, outcome: 0, basis: 'grant' });
    await world.db.query(sql`update access_grant set ended_at = now() where id = 'g'`);
    await get(STUDY, stranger).expect(403);
  });

  it('is no matter of administration, nor of a token whose scope does not include it', async () => {
    await get(STUDY, caller('a', 'hospital-administrator')).expect(403);
    await get(STUDY, { ...physician, scope: 'user/Patient.rs' }).expect(403);
    expect(await lastEntry()).toMatchObject({ outcome: 4, detail: 'scope' });
    await supertest(world.server.listener).get(`/dicomweb/studies/${STUDY}`).expect(401);
  });

  it('gives of a study that two hospitals hold the caller’s own, or that of the custodian who is named', async () => {
    const uid = `${STUDY}.2`;
    const { study: described } = await world.archive('a', uid, 'P-2');
    await world.index('b', described, uid);
    await get(uid, stranger).expect(200);
    expect(await lastEntry()).toMatchObject({ custodian_id: 'b', basis: 'own' });
    await get(uid, physician).expect(200);
    expect(await lastEntry()).toMatchObject({ custodian_id: 'a', basis: 'own' });
    await get(`${uid}?custodian=b`, physician).expect(404);
  });

  it('says so of a study that is only described', async () => {
    await world.index('a', { ...study, studyInstanceUid: `${STUDY}.3`, series: [] }, null);
    const { body } = await get(`${STUDY}.3`).expect(404);
    expect(body.issue[0].diagnostics).toMatch(/not retrievable/);
    expect(await lastEntry()).toMatchObject({ outcome: 4, detail: 'not-retrievable' });
  });

  it('shows nothing when the audit can’t be written', async () => {
    await world.db.query(raw('alter table audit_event add constraint closed check (subtype <> $$retrieve$$) not valid'));
    try {
      expect((await get(STUDY).expect(503)).body.resourceType).toBe('OperationOutcome');
    } finally {
      await world.db.query(raw('alter table audit_event drop constraint closed'));
    }
  });
});

describe('A source', () => {
  const failing = (retrieve: Connector['retrieve']) => {
    const old = world.connectors.get(STUDY)!;
    world.connectors.set(STUDY, { ...old, retrieve });
    return () => world.connectors.set(STUDY, old);
  };

  /** An archive whose answer, a message without parts, is there as soon as it is asked. */
  const answeringAtOnce = () => {
    const body = Readable.from([Buffer.from('--x--\r\n')], { objectMode: false });
    let restore = (): unknown => undefined;
    const asked = new Promise<void>((resolve) => {
      restore = failing(async () => {
        resolve();
        return { contentType: 'multipart/related; type="application/dicom"; boundary=x', body };
      });
    });
    return { body, asked, restore };
  };

  it.each([
    ['unreachable', 502],
    ['refused', 502],
    ['bad-response', 502],
    ['forbidden-address', 502],
    ['timeout', 504],
    ['not-found', 404],
  ] as const)('that fails with %s is answered with %i and no detail of it', async (code, status) => {
    const restore = failing(async () => {
      throw new SourceError(code, 'connect ECONNREFUSED 10.0.0.7:8042');
    });
    const { text } = await get(STUDY).expect(status);
    restore();
    expect(text).not.toContain('10.0.0.7');
  });

  it('that is not connected is answered with 502', async () => {
    const old = world.connectors.get(STUDY)!;
    world.connectors.delete(STUDY);
    await get(STUDY).expect(502);
    world.connectors.set(STUDY, old);
  });

  it('that breaks off in the middle does not leave a study that looks whole', async () => {
    const restore = failing(async () => ({
      contentType: 'multipart/related; type="application/dicom"; boundary=x',
      body: Readable.from(
        (async function* () {
          yield Buffer.from('--x\r\n\r\nhalf');
          await sleep(20);
          throw new SourceError('timeout', 'gone');
        })(),
        { objectMode: false },
      ),
    }));
    await expect(binary(STUDY)).rejects.toThrow(/aborted|hang up/);
    restore();
  });

  it('is read no further than to its beginning until the retrieval is on record, also when it breaks off meanwhile', async () => {
    for (const breaksOff of [false, true]) {
      const { body, asked, restore } = answeringAtOnce();
      let socket: Socket | undefined;
      world.server.listener.once('connection', (opened) => {
        socket = opened;
      });
      const free = await holdAudit();
      const answer = binary(STUDY).then(
        (reply) => reply.status,
        (error: Error) => error.message,
      );
      await asked;
      if (breaksOff) body.destroy(new SourceError('timeout', 'gone'));
      await sleep(200);
      expect(socket?.bytesWritten).toBe(0);
      await free();
      expect(await answer).toEqual(breaksOff ? expect.stringMatching(/aborted|hang up/) : 200);
      restore();
    }
    expect(await lastEntry()).toMatchObject({ subtype: 'retrieve', outcome: 0 });
  });

  it('is left alone as soon as the caller goes away, and his streams are bounded and given back', async () => {
    const opened: { signal: AbortSignal; body: Readable }[] = [];
    const restore = failing(async (_, signal) => {
      const body = new Readable({ read: () => undefined });
      body.push('--x\r\n\r\n');
      opened.push({ signal, body });
      return { contentType: 'multipart/related; type="application/dicom"; boundary=x', body };
    });
    await new Promise<void>((resolve) => world.server.listener.listen(0, '127.0.0.1', resolve));
    const { port } = world.server.listener.address() as AddressInfo;
    const ask = async (who = physician): Promise<IncomingMessage> => {
      const asking = httpGet({
        port,
        host: '127.0.0.1',
        path: `/dicomweb/studies/${STUDY}`,
        headers: { authorization: as(who) },
        agent: false,
      });
      const [answer] = (await once(asking, 'response')) as [IncomingMessage];
      answer.on('error', () => undefined);
      return answer;
    };
    const answers = await Promise.all([ask(), ask(), ask(), ask()]);
    expect(answers.map((a) => a.statusCode)).toEqual([200, 200, 200, 200]);
    const refused = await ask();
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, '1']);
    const colleague = await ask({ ...physician, id: 'Account/colleague' });
    expect(colleague.statusCode).toBe(200);
    for (const answer of [...answers, colleague]) answer.destroy();
    for (const { signal, body } of opened) {
      if (!body.destroyed) await once(body, 'close');
      expect(signal.aborted).toBe(true);
    }
    await new Promise((resolve) => world.server.listener.close(resolve));
    restore();
    for (let i = 0; i < 5; i++) await get(STUDY).expect(200);
  });
});

describe('Retrieval by break-glass', () => {
  const config = {
    breakGlassMinutes: 60,
    breakGlassReviewHours: 72,
    breakGlassPerDay: 3,
    freshAuthentication: 300,
    clockLeeway: 30,
  };
  it('gives the pixels of the patient of the session, with the session on record, until it ends', async () => {
    const doctor = { ...caller('c', 'physician'), authenticatedAt: Math.floor(Date.now() / 1000) };
    const opening = { caller: doctor, patientIds: [patientId], reason: 'unconscious', statement: 'Brought in unconscious.' };
    const context = { requestId: 'r', address: '' };
    const decision = { allowed: true, mayKnow: true, rule: 'break-glass-begun', evidence: [] };
    const session = await world.db.transaction((tx) => breakTheGlass(tx, world.audit, config, opening, decision, context));
    const under: Caller = { ...doctor, purposeOfUse: 'BTG', exceptionalAccess: (session as { id: string }).id };
    await get(STUDY, doctor).expect(404);
    const answer = await binary(STUDY, under).expect(200);
    expect(partsOf(answer.headers['content-type']!, answer.body)).toHaveLength(4);
    const [entry] = await world.db.query(sql`select basis, purpose, evidence from audit_event order by id desc limit 1`);
    expect(entry).toMatchObject({
      basis: 'break-glass',
      purpose: 'BTG',
      evidence: [{ kind: 'break-glass', id: under.exceptionalAccess }],
    });
    await get(STUDY, { ...under, id: 'Practitioner/another' }).expect(404);
    await get(STUDY, { ...under, purposeOfUse: 'TREAT' }).expect(404);
    await world.db.query(sql`update exceptional_access set ended_at = now()`);
    await get(STUDY, under).expect(404);
  });
});

describe('Retrieval for scoring', () => {
  it('opens a series without a person’s policy, and nothing that the index does not hold', async () => {
    const retrieve = retrieveSeries({ db: world.db, connectorFor: (id) => world.connectors.get(id) });
    const signal = new AbortController().signal;
    const of = { custodianId: 'a', studyInstanceUid: STUDY, seriesInstanceUid: first().seriesInstanceUid };
    const reply = await retrieve(of, signal);
    expect(partsOf(reply.contentType, Buffer.concat(await reply.body.toArray()))).toHaveLength(first().instances.length);
    await expect(retrieve({ ...of, custodianId: 'c' }, signal)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('does not let a PACS send objects in quarantine along with a study', async () => {
    await world.db.query(
      sql`insert into connector (id, organization_id, kind, settings) values (${STUDY}, 'a', 'dicomweb', '{}')`,
    );
    await world.db.query(sql`
      insert into quarantine (id, custodian_id, connector_id, locator, reason, detail, study_instance_uid)
      values ('held', 'a', ${STUDY}, 'x', 'patient-conflict', 'another patient', ${STUDY})`);
    try {
      const refused = await get(STUDY).expect(403);
      expect(JSON.parse(refused.text).issue[0].details.coding[0].code).toBe('quarantine');
      expect(await lastEntry()).toMatchObject({ outcome: 4, detail: 'quarantined' });
      await binary(instancePath()).expect(200);
    } finally {
      await world.db.query(sql`delete from quarantine where id = 'held'`);
      await world.db.query(sql`delete from connector where id = ${STUDY}`);
    }
  });
});
