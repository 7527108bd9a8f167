import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { recordRules } from '../../../hub/access/consent/consents.js';
import { createResources, findResource, newId, toResource, updateResource } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import { as } from '../api/stand-in.js';
import { caller } from '../identity/hospitals.js';
import { type Archives, openArchives, STUDY } from './archives.js';

/** More than sockets on the way may hold: 48 frames of half a mebibyte. */
const SLICES = 48;
const FRAME = 512 * 512 * 2;
/** What may leave after a revocation: the last answer of the policy is older than a tenth of a second, and a little lies in the stream. */
const AT_MOST = 1.5 * 1024 * 1024;

let world: Archives;
let studyId: string;
let patientId: string;
let series: string;
const asker = caller('b', 'physician');
const sockets = new Set<Socket>();

beforeAll(async () => {
  world = await openArchives();
  const archived = await world.archive('a', STUDY, 'P-1', { slices: SLICES, rows: 512 });
  ({ studyId, patientId } = archived);
  series = archived.study.series.find((s) => s.instances.length === SLICES)!.seriesInstanceUid;
  await new Promise<void>((resolve) => world.server.listener.listen(0, '127.0.0.1', resolve));
  world.server.listener.on('connection', (socket) => sockets.add(socket));
});
afterAll(async () => {
  world.server.listener.closeAllConnections();
  await new Promise((resolve) => world.server.listener.close(resolve));
  await world.close();
});

const grantId = newId();
beforeEach(async () => {
  const { db } = world;
  await db.query(sql`delete from consent_rule`);
  await db.query(sql`delete from access_grant`);
  await db.query(sql`
    insert into access_grant (id, task_id, granted_by, patient_id, custodian_id, recipient_id, resources, valid_from)
    values (${grantId}, 'task', 'x', ${patientId}, 'a', 'b', ${[`ImagingStudy/${studyId}`]}::text[], now())`);
});

/** Asks for the series and reads its beginning, then no further: what follows waits in the hub. */
async function begin(): Promise<{
  answer: IncomingMessage;
  sent: () => number;
  isFull: () => boolean;
  rest: () => Promise<{ bytes: number; whole: boolean }>;
}> {
  sockets.clear();
  const { port } = world.server.listener.address() as AddressInfo;
  const asking = httpGet({
    port,
    host: '127.0.0.1',
    path: `/dicomweb/studies/${STUDY}/series/${series}`,
    headers: { authorization: as(asker) },
    agent: false,
  });
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  let bytes = 0;
  answer.on('error', () => undefined);
  const [socket] = sockets;
  return {
    answer,
    sent: () => socket!.bytesWritten,
    isFull: () => socket!.writableLength > 0,
    rest: async () => {
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await new Promise((resolve) => answer.once('close', resolve));
      return { bytes, whole: answer.complete };
    },
  };
}

/** Nothing more is sent: the reader does not read, and what lies between is full, so that the system takes no more of it. */
async function standstill({ sent, isFull }: { sent: () => number; isFull: () => boolean }): Promise<number> {
  for (let before = -1; before !== sent() || !isFull(); ) {
    before = sent();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return sent();
}

const consent = async (provision: object): Promise<void> => {
  await world.db.transaction(async (tx) => {
    const resource = {
      resourceType: 'Consent',
      status: 'active',
      scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
      patient: { reference: `Patient/${patientId}` },
      provision,
    };
    await recordRules(tx, await createResources(tx, [{ resource, custodianId: 'a' }]), '+08:00');
  });
};

const lastEntry = async () =>
  (
    await world.db.query(
      sql`select agent, subtype, outcome, entity, detail, evidence from audit_event order by recorded desc, id desc limit 1`,
    )
  )[0];

describe('a retrieval that runs', () => {
  it('comes whole while nothing changes, to a slow reader too', async () => {
    const retrieval = await begin();
    const { rest } = retrieval;
    expect(await standstill(retrieval)).toBeLessThan(SLICES * FRAME);
    expect(await rest()).toMatchObject({ whole: true });
    expect(await lastEntry()).toMatchObject({ outcome: 0 });
  });

  const revocations: [string, () => Promise<unknown>, string][] = [
    ['the patient forbids it, although a grant stands', () => consent({ type: 'deny' }), 'revoked: consent'],
    [
      'the grant ends',
      () => world.db.query(sql`update access_grant set ended_at = now(), ended_because = 'test' where id = ${grantId}`),
      'revoked: no-basis',
    ],
    [
      'the custodian is suspended',
      () => world.db.query(sql`update organization set active = false where id = 'a'`),
      'revoked: suspended',
    ],
    ['the study is labelled as restricted', () => label('R'), 'revoked: label'],
  ];

  it.each(revocations)('breaks off when %s', async (_name, revoke, detail) => {
    const retrieval = await begin();
    const { sent, rest } = retrieval;
    const before = await standstill(retrieval);
    await revoke();
    const { bytes, whole } = await rest();
    await restore();
    expect(whole).toBe(false);
    expect(sent() - before).toBeLessThan(AT_MOST);
    expect(bytes).toBeLessThan(SLICES * FRAME);
    expect(await lastEntry()).toMatchObject({
      agent: asker.id,
      subtype: 'retrieve',
      outcome: 4,
      entity: [`ImagingStudy/${studyId}`],
      detail,
    });
  });

  const label = async (...codes: string[]): Promise<void> => {
    const row = (await findResource(world.db, 'ImagingStudy', studyId))!;
    const security = codes.map((code) => ({ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code }));
    await updateResource(world.db, { resource: { ...toResource(row), meta: { security } }, custodianId: 'a' });
  };
  const restore = async (): Promise<void> => {
    await world.db.query(sql`update organization set active = true where id = 'a'`);
    await label();
  };
});
