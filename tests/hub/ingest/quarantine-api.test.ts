import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Server } from '@hapi/hapi';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import supertest from 'supertest';
import type { Caller } from '../../../hub/access/caller.js';
import { createAccess } from '../../../hub/access/create-access.js';
import { registerQuarantine } from '../../../hub/api/quarantine.js';
import type { Sources } from '../../../hub/ingest/watch-sources.js';
import { sql } from '../../../hub/store/sql.js';
import { as, serverForCallers } from '../api/stand-in.js';
import { type Watching, watching } from './watching.js';

let at: Watching;
let server: Server;
let sources: Sources;
let archive: Awaited<ReturnType<Watching['archive']>>;

beforeAll(async () => {
  at = await watching();
  archive = await at.archive();
  for (const name of ['note-1', 'note-2', 'note-3']) await writeFile(join(archive.root, name), 'no DICOM');
  await at.folder('a', archive.root);
  sources = at.start();
  await sources.idle();
  server = serverForCallers();
  const access = await createAccess({ consentRequiredFor: [] });
  registerQuarantine(server, { db: at.db, access, audit: at.audit, sources, config: { trustedProxy: false, maxPage: 50 } });
  await server.initialize();
});
afterAll(async () => {
  await server.stop();
  await at.close();
});

const caller = (organizationId: string, role: Caller['role'] = 'hospital-administrator'): Caller => ({
  id: `Account/${role}-of-${organizationId}`,
  kind: 'person',
  name: role,
  organizationId,
  role,
  purposeOfUse: role === 'physician' ? 'TREAT' : 'HOPERAT',
  clientId: 'test',
  scope: '',
  authenticatedAt: 0,
});
const admin = caller('A');
const get = (who: Caller, query = '') => supertest(server.listener).get(`/quarantine${query}`).set('authorization', as(who));
const post = (who: Caller, id: string, step: string) =>
  supertest(server.listener).post(`/quarantine/${id}/${step}`).set('authorization', as(who));
const itemAt = async (locator: string): Promise<string> => {
  const { body } = await get(admin).expect(200);
  return body.items.find((item: { locator: string }) => item.locator === locator).id;
};
const lastEntry = async () => {
  const [row] = await at.db.query<Record<string, unknown>>(
    sql`select subtype, outcome, agent, custodian_id, detail from audit_event where subtype like 'quarantine-%' order by id desc limit 1`,
  );
  return row;
};

describe('The quarantine of a hospital', () => {
  it('is listed for its administrator page by page, by state and reason, and that is on record', async () => {
    const first = (await get(admin, '?_count=2').expect(200)).body;
    expect(first.items).toHaveLength(2);
    expect(first.items[0]).toMatchObject({ custodian: 'A', connector: 'a', reason: 'not-dicom', state: 'held' });
    const rest = (await get(admin, `?_count=2&_cursor=${first.next}`).expect(200)).body;
    const locators = [...first.items, ...rest.items].map((item) => item.locator).sort();
    expect(locators).toEqual(['note-1', 'note-2', 'note-3']);
    expect(rest.next).toBeUndefined();
    expect((await get(admin, '?state=resolved').expect(200)).body).toEqual({ items: [] });
    expect((await get(admin, '?reason=truncated').expect(200)).body).toEqual({ items: [] });
    expect(await lastEntry()).toMatchObject({ subtype: 'quarantine-list', outcome: 0, custodian_id: 'A' });
  });

  it('does not exist for another hospital', async () => {
    const id = await itemAt('note-1');
    expect((await get(caller('B')).expect(200)).body).toEqual({ items: [] });
    for (const step of ['retry', 'discard']) await post(caller('B'), id, step).expect(404);
    expect(await lastEntry()).toMatchObject({ outcome: 4, agent: 'Account/hospital-administrator-of-B', detail: 'not-found' });
    expect((await get(admin).expect(200)).body.items.every((i: { state: string }) => i.state === 'held')).toBe(true);
  });

  it('is for administrators of hospitals only; an attempt is on record', async () => {
    const id = await itemAt('note-1');
    for (const role of ['physician', 'identity-steward', 'hospital-system', 'commission-officer', 'hub-administrator'] as const) {
      await get(caller('A', role)).expect(403);
      await post(caller('A', role), id, 'discard').expect(403);
      expect(await lastEntry()).toMatchObject({ outcome: 4, agent: `Account/${role}-of-A`, detail: 'role' });
    }
  });

  it('refuses what it does not understand', async () => {
    for (const query of ['?state=lost', '?_count=0', '?_count=51', '?_cursor=x', '?other=1', '?reason=%00'])
      await get(admin, query).expect(400);
    await post(admin, 'nothing', 'retry').expect(404);
    await post(admin, '%00', 'retry').expect(404);
  });
});

describe('A quarantined item', () => {
  it('that still can’t be read stays held, with one more attempt', async () => {
    const id = await itemAt('note-1');
    const before = (await post(admin, id, 'retry').expect(200)).body;
    const { body } = await post(admin, id, 'retry').expect(200);
    expect(body).toMatchObject({ state: 'held', reason: 'not-dicom', attempts: before.attempts + 1 });
  });

  it('that can be read now is taken and resolved', async () => {
    const id = await itemAt('note-2');
    await archive.put('note-2', 5, 1);
    const { body } = await post(admin, id, 'retry').expect(200);
    expect(body).toMatchObject({ state: 'resolved' });
    expect(await at.figures()).toMatchObject({ studies: 1, instances: 1 });
    expect(await lastEntry()).toMatchObject({ subtype: 'quarantine-retry', detail: 'not-dicom: resolved' });
    await post(admin, id, 'retry').expect(409);
  });

  it('that is discarded does not come back by itself, and can be tried again', async () => {
    const id = await itemAt('note-3');
    expect((await post(admin, id, 'discard').expect(200)).body).toMatchObject({ state: 'discarded' });
    await sources.reindex('a');
    await sources.idle();
    expect((await get(admin, '?state=discarded').expect(200)).body.items).toMatchObject([{ id }]);
    expect((await post(admin, id, 'retry').expect(200)).body).toMatchObject({ state: 'held' });
  });

  it('of a source that is gone or does not answer is refused without detail', async () => {
    const id = await itemAt('note-1');
    await rm(archive.root, { recursive: true });
    await post(admin, id, 'retry').expect(502);
    await at.db.query(sql`update connector set enabled = false where id = 'a'`);
    await sources.idle();
    await post(admin, id, 'retry').expect(409);
  });
});
