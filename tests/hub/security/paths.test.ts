/** Paths beside search: versions, conditional writes and preconditions tell no more than a read does. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systems } from '../../../fhir-profiles/codes.js';
import { samplePatient } from '../../support/fhir-samples.js';
import { type Answer, assigner, type Client, openWorld, type World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.hub.stop());

const RESTRICTED = { security: [{ system: systems.confidentiality, code: 'R' }] };
const NOBODY = '0190aaaa-0000-7000-8000-000000000000';
const told = ({ status, text, headers }: Answer) => ({ status, text, etag: headers.etag, location: headers.location });
const versionsOf = ({ body }: Answer): string[] =>
  body.entry.map((e: { resource: { meta: { versionId: string } } }) => e.resource.meta.versionId);

describe('a version that was restricted', () => {
  let path: string;
  beforeAll(async () => {
    const { a } = world.systems;
    path = `/fhir/ImagingStudy/${world.studyOfA.id}`;
    for (const [description, meta] of [
      ['first secret', RESTRICTED],
      ['second secret', RESTRICTED],
      ['open', undefined],
    ] as const) {
      const { body } = await a.get(path);
      const { meta: _meta, ...study } = body;
      expect((await a.put({ ...study, description, ...(meta ? { meta } : {}) })).status).toBe(200);
    }
    // an update takes no label away
    const parameters = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: RESTRICTED }] };
    const administrator = await world.person('administrator-a');
    expect((await administrator.post(parameters, `${path}/$meta-delete`)).status).toBe(200);
  });
  it('is shown to its custodian alone, whatever came before and after', async () => {
    const { a, b, c } = world.systems;
    expect(versionsOf(await a.get(`${path}/_history`))).toEqual(['5', '4', '3', '2', '1']);
    const seen = await b.get(`${path}/_history`);
    expect([versionsOf(seen), seen.body.total]).toEqual([['5', '1'], 2]);
    expect(seen.text).not.toContain('secret"');
    expect((await b.get(`${path}/_history/1`)).status).toBe(200);
    expect((await b.get(`${path}/_history/2`)).status).toBe(403);
    for (const version of ['1', '2', '4', '9'])
      expect(told(await c.get(`${path}/_history/${version}`))).toEqual(
        told(await c.get(`/fhir/ImagingStudy/${NOBODY}/_history/1`)),
      );
  });
  it('does not end a history before what lies behind it', async () => {
    const { b } = world.systems;
    const pages: string[][] = [];
    for (let next: string | undefined = `${path}/_history?_count=1`; next; ) {
      const page = await b.get(next);
      pages.push(versionsOf(page));
      expect(page.body).not.toHaveProperty('total');
      next = page.body.link.find((l: { relation: string }) => l.relation === 'next')?.url.slice(world.hub.url.length);
    }
    expect(pages).toEqual([['5'], ['1']]);
    expect((await b.get(`${path}/_history?_before=9999999999`)).status).toBe(400);
  });
});

describe('a write on a condition', () => {
  const asked = (client: Client, number: string) =>
    client.post(samplePatient(assigner('c'), `new-${number}`, { birthDate: '1955-05-05' }), '/fhir/Patient', {
      'if-none-exist': `identifier=${encodeURIComponent(`${assigner('a')}|${number}`)}`,
    });
  it('creates where only another hospital has what it looks for, as where nobody has', async () => {
    const { c } = world.systems;
    const [held, free] = [await asked(c, 'A1'), await asked(c, 'nobodys')];
    expect([held.status, free.status]).toEqual([201, 201]);
    expect(Object.keys(held.headers).sort()).toEqual(Object.keys(free.headers).sort());
  });
  it('is answered by a version that may not be known like by none, and by one that may be known only with its reason', async () => {
    const { c, d } = world.systems;
    const put = (client: Client, id: string, etag: string) =>
      client.put({ ...samplePatient(assigner('a'), 'A1'), id }, undefined, { 'if-match': etag });
    const none = told(await put(c, NOBODY, 'W/"1"'));
    expect(none.status).toBe(404);
    for (const etag of ['W/"1"', 'W/"7"', '*']) {
      expect(told(await put(c, world.patientOfA.id, etag))).toEqual(none);
      expect((await put(d, world.patientOfA.id, etag)).status).toBe(403);
    }
    for (const etag of ['W/"1"', 'W/"7"']) {
      const read = await c.get(`/fhir/Patient/${world.patientOfA.id}`, { 'if-none-match': etag });
      expect(told(read)).toEqual(told(await c.get(`/fhir/Patient/${NOBODY}`)));
    }
  });
});

describe('what a search includes', () => {
  it('is on record for each patient whose records were shown', async () => {
    const { a } = world.systems;
    const { body } = await a.get(`/fhir/Patient?_id=${world.otherOfA.id}&_revinclude=ImagingStudy:patient`);
    expect(body.entry).toHaveLength(2);
    const { rows } = await world.hub.db.pool.query(
      "select patient_id, entity from audit_event where subtype = 'search-type' order by id desc limit 1",
    );
    expect(rows[0].patient_id).toBe(world.otherOfA.id);
    expect(JSON.stringify(rows[0].entity)).toContain(`ImagingStudy/${world.otherStudyOfA.id}`);
  });
});

describe('an id that can be none', () => {
  it.each(['%00', 'a%00b', '%ff', "'", 'x'.repeat(70)])(
    'is refused on every path that takes one, and breaks none: %s',
    async (id) => {
      const clients = [world.systems.a, await world.person('physician-a'), await world.person('administrator-a')];
      const routes = world.hub.hub.server.table().filter(({ path }) => path.includes('{'));
      expect(routes.length).toBeGreaterThan(20);
      const broken: string[] = [];
      for (const { method, path } of routes)
        for (const client of clients) {
          const at = path.replace(/\{path\*?\}/, `ImagingStudy/${id}`).replace(/\{\w+[*?\d]*\}/g, id);
          const sent = { resourceType: 'ImagingStudy', decision: 'accept' };
          const preconditions = { 'if-match': 'W/"1"' };
          const answer = await (method === 'post'
            ? client.post(sent, at, preconditions)
            : method === 'put'
              ? client.put(sent, at, preconditions)
              : method === 'delete'
                ? client.delete(at)
                : client.get(at));
          if (answer.status < 400 || answer.status >= 500) broken.push(`${method} ${at} ${answer.status}`);
        }
      expect(broken).toEqual([]);
    },
  );
});
