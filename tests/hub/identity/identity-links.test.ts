import type { Server } from '@hapi/hapi';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import supertest from 'supertest';
import type { Caller } from '../../../hub/access/caller.js';
import { registerIdentityLinks } from '../../../hub/api/identity-links.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { as, serverForCallers } from '../api/stand-in.js';
import { caller, type Hospitals, openHospitals, person } from './hospitals.js';

let world: Hospitals;
let server: Server;
beforeAll(async () => {
  world = await openHospitals();
  server = serverForCallers();
  registerIdentityLinks(server, { ...world, config: { trustedProxy: false, maxPage: 3 } });
  await server.initialize();
});
afterAll(async () => {
  await server.stop();
  await world.end();
});

const steward = (hospital: string) => caller(hospital, 'identity-steward');
const get = (who: Caller, query = '') => supertest(server.listener).get(`/identity/links${query}`).set('authorization', as(who));
const post = (who: Caller, id: string, step: string) =>
  supertest(server.listener).post(`/identity/links/${id}/${step}`).set('authorization', as(who));

let births = 0;
/** A pair that is proposed: the Patients of hospitals a and b, and the id of the pair. */
async function proposed() {
  const birthDate = `1960-01-${String(++births).padStart(2, '0')}`;
  const [a] = await world.register('a', person('a', `a${births}`, { birthDate }));
  const [b] = await world.register('b', person('b', `b${births}`, { birthDate }));
  return { a: a!.id, b: b!.id, id: (await world.pair(a!.id, b!.id))!.id };
}

const lastEntries = async (count: number) =>
  (
    await world.db.query<{ patient_id: string; subtype: string; outcome: number; custodian_id: string | null }>(
      sql`select patient_id, subtype, outcome, custodian_id from audit_event where type = 'identity' order by id desc limit ${count}`,
    )
  ).reverse();

describe('The work list of an identity steward', () => {
  it('shows his own Patient in full, of the other only whose it is and what matched; both are on record', async () => {
    const { a, b, id } = await proposed();
    const { body } = await get(steward('a'), '?state=proposed&_count=1').expect(200);
    expect(body.items).toEqual([
      {
        id,
        state: 'proposed',
        basis: 'demographics',
        matched: ['name', 'sex', 'birth-date'],
        own: expect.objectContaining({
          patient: a,
          custodian: 'a',
          name: ['王小东'],
          birthDate: expect.stringMatching(/^1960/),
          gender: 'male',
        }),
        other: { patient: b, custodian: 'b' },
        acceptedBy: [],
        samePerson: false,
        proposedAt: expect.any(String),
      },
    ]);
    const entries = await lastEntries(2);
    expect(entries.map((e) => e.patient_id).sort()).toEqual([a, b].sort());
    expect(entries.map((e) => e.subtype)).toEqual(['list', 'list']);
    const mirrored = await get(steward('b'), '?_count=1').expect(200);
    expect(mirrored.body.items[0]).toMatchObject({ own: { patient: b, custodian: 'b' }, other: { patient: a, custodian: 'a' } });
  });

  it('is paged without loss or repetition, and holds only pairs of his own hospital', async () => {
    for (let i = 0; i < 4; i++) await proposed();
    const seen: string[] = [];
    let query = '?_count=3';
    for (;;) {
      const { body } = await get(steward('a'), query).expect(200);
      expect(body.items.length).toBeLessThanOrEqual(3);
      seen.push(...body.items.map((i: { id: string }) => i.id));
      if (!body.next) break;
      query = `?_count=3&_cursor=${body.next}`;
    }
    const all = await world.db.query<{ id: string }>(
      sql`select id from link_decision where 'a' in (custodian_a, custodian_b) order by id desc`,
    );
    expect(seen).toEqual(all.map((r) => r.id));
    expect((await get(steward('c')).expect(200)).body).toEqual({ items: [] });
  });

  it.each(['?state=open', '?_count=0', '?_count=4', '?_count=x', '?_cursor=%27%3B--', '?patient=1'])(
    'refuses %s',
    async (query) => {
      await get(steward('a'), query).expect(400);
    },
  );

  it('is for stewards alone; the attempt of anyone else is on record', async () => {
    const { id } = await proposed();
    for (const role of ['physician', 'hospital-administrator', 'hospital-system', 'auditor', 'patient'] as const) {
      await get(caller('a', role)).expect(403);
      await post(caller('a', role), id, 'accept').expect(403);
      expect(await lastEntries(1)).toMatchObject([{ outcome: 4 }]);
    }
    await supertest(server.listener).get('/identity/links').expect(401);
  });

  it('shows nothing when the audit can’t be written', async () => {
    await world.db.query(raw('alter table audit_event add constraint closed check (subtype <> $$list$$) not valid'));
    try {
      expect((await get(steward('a')).expect(503)).body.items).toBeUndefined();
    } finally {
      await world.db.query(raw('alter table audit_event drop constraint closed'));
    }
  });
});

describe('A proposed link', () => {
  it('is made when both hospitals have accepted: nobody grants himself access', async () => {
    const { a, b, id } = await proposed();
    expect((await post(steward('b'), id, 'accept').expect(200)).body).toMatchObject({
      state: 'proposed',
      acceptedBy: ['b'],
      samePerson: false,
    });
    expect((await post(steward('b'), id, 'accept').expect(200)).body).toMatchObject({ state: 'proposed' });
    expect(await world.registrations(a)).toEqual(['a']);
    expect((await post(steward('a'), id, 'accept').expect(200)).body).toMatchObject({
      state: 'linked',
      acceptedBy: ['a', 'b'],
      samePerson: true,
    });
    expect(await world.registrations(a)).toEqual(['a', 'b']);
    const entries = await lastEntries(2);
    expect(entries.map((e) => [e.subtype, e.patient_id, e.custodian_id]).sort()).toEqual(
      [
        ['link', a, 'a'],
        ['link', b, 'b'],
      ].sort(),
    );
    await post(steward('a'), id, 'accept').expect(409);
    await post(steward('a'), id, 'reject').expect(409);
  });

  it('is unlinked by either hospital, and linked again only by both', async () => {
    const { a, id } = await proposed();
    await post(steward('a'), id, 'unlink').expect(409);
    for (const hospital of ['a', 'b']) await post(steward(hospital), id, 'accept').expect(200);
    expect((await post(steward('b'), id, 'unlink').expect(200)).body).toMatchObject({
      state: 'unlinked',
      acceptedBy: [],
      samePerson: false,
    });
    expect(await world.registrations(a)).toEqual(['a']);
    expect((await post(steward('b'), id, 'accept').expect(200)).body.state).toBe('unlinked');
    expect((await post(steward('a'), id, 'accept').expect(200)).body.state).toBe('linked');
  });

  it('is rejected by either hospital', async () => {
    const { id } = await proposed();
    await post(steward('a'), id, 'accept').expect(200);
    expect((await post(steward('b'), id, 'reject').expect(200)).body).toMatchObject({ state: 'rejected', acceptedBy: [] });
    expect((await post(steward('a'), id, 'accept').expect(200)).body.state).toBe('rejected');
  });

  it('of other hospitals is not there', async () => {
    const { id } = await proposed();
    for (const step of ['accept', 'reject', 'unlink']) await post(steward('c'), id, step).expect(404);
    expect(await lastEntries(1)).toMatchObject([{ outcome: 4 }]);
    await post(steward('a'), 'no-such-pair', 'accept').expect(404);
    await post(steward('a'), id, 'toString').expect(404);
  });

  it('is refused when it would join two that were decided to be different persons', async () => {
    const birthDate = '1961-01-01';
    const [a] = await world.register('a', person('a', 'x1', { birthDate }));
    const [b] = await world.register('b', person('b', 'x2', { birthDate }));
    const [c] = await world.register('c', person('c', 'x3', { birthDate }));
    const pair = async (x: typeof a, y: typeof a) => (await world.pair(x!.id, y!.id))!.id;
    await post(steward('a'), await pair(a, b), 'reject').expect(200);
    for (const hospital of ['a', 'c']) await post(steward(hospital), await pair(a, c), 'accept').expect(200);
    await post(steward('b'), await pair(b, c), 'accept').expect(200);
    await post(steward('c'), await pair(b, c), 'accept').expect(409);
    expect(await world.registrations(b!.id)).toEqual(['b']);
  });
});
