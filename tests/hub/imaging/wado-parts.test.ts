import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import supertest from 'supertest';
import type { StudyDescription } from '../../../connectors/connector.js';
import { raw, sql } from '../../../hub/store/sql.js';
import { as } from '../api/stand-in.js';
import { caller } from '../identity/hospitals.js';
import { type Archives, openArchives, STUDY } from './archives.js';

let world: Archives;
let study: StudyDescription;
let studyId: string;
const reader = caller('b', 'physician');
const get = (path: string, who = reader) =>
  supertest(world.server.listener).get(`/dicomweb/studies/${path}`).set('authorization', as(who)).buffer(true);
/** The archive has two series; a third one is only described. */
const series = (i: number) => study.series[i]?.seriesInstanceUid ?? '1.2.840.9';
const instance = (i: number) => `${STUDY}/series/${series(i)}/instances/${study.series[i]!.instances[0]!.sopInstanceUid}`;

/** The study's series say these body sites, in order. */
async function sites(...codes: (string | null)[]): Promise<void> {
  const elements = codes.map((code, i) => ({
    uid: series(i),
    modality: { code: 'CT' },
    ...(code ? { bodySite: { code } } : {}),
  }));
  await world.db.query(sql`
    update resource set body_site = ${codes.map((code) => code ?? '')}, content = ${JSON.stringify({ status: 'available', series: elements })}
    where type = 'ImagingStudy' and id = ${studyId}`);
}

beforeAll(async () => {
  world = await openArchives();
  ({ study, studyId } = await world.archive('a', STUDY));
  expect(study.series).toHaveLength(2);
  await world.db.query(
    raw(
      "insert into sharing_agreement (id, custodian_id, recipient_id, body_site, by_series) values ('p', 'a', 'b', '{CHEST}', true)",
    ),
  );
});
afterAll(() => world.close());

describe('a study of which some series are opened', () => {
  it('is retrieved by these series alone; the others are as if they were not there', async () => {
    await sites('CHEST', null);
    const shown = [
      `${STUDY}/series/${series(0)}`,
      `${STUDY}/series/${series(0)}/metadata`,
      instance(0),
      `${instance(0)}/metadata`,
      `${instance(0)}/frames/1`,
      `${STUDY}/series/${series(0)}/rendered`,
      `${STUDY}/series/${series(0)}/thumbnail`,
      `${instance(0)}/rendered`,
      `${instance(0)}/thumbnail`,
      `${instance(0)}/frames/1/rendered`,
      `${instance(0)}/frames/1/thumbnail`,
      `${instance(0)}/bulkdata/00100020`,
      `${instance(0)}/bulkdata/7FE00010`,
    ];
    for (const path of shown) expect([path, (await get(path)).status]).toEqual([path, 200]);
    const nothing = await get(`${STUDY}/series/1.2.3`);
    expect(nothing.status).toBe(404);
    const hidden = [
      `${STUDY}/series/${series(1)}`,
      `${STUDY}/series/${series(1)}/metadata`,
      instance(1),
      `${instance(1)}/metadata`,
      `${instance(1)}/frames/1`,
      `${STUDY}/series/${series(1)}/rendered`,
      `${STUDY}/series/${series(1)}/thumbnail`,
      `${instance(1)}/rendered`,
      `${instance(1)}/thumbnail`,
      `${instance(1)}/frames/1/rendered`,
      `${instance(1)}/frames/1/thumbnail`,
      `${instance(1)}/bulkdata/00100020`,
      `${instance(1)}/bulkdata/7FE00010`,
    ];
    for (const path of hidden) {
      const { status, text } = await get(path);
      expect([path, status, text]).toEqual([path, nothing.status, nothing.text]);
    }
    // an instance of another series under the name of one that is opened
    const disguised = `${STUDY}/series/${series(0)}/instances/${study.series[1]!.instances[0]!.sopInstanceUid}`;
    expect((await get(disguised)).status).toBe(404);
  });

  it('has a thumbnail of what is opened, or none', async () => {
    await sites('CHEST', null);
    const [open, ofStudy] = [await get(`${STUDY}/series/${series(0)}/thumbnail`), await get(`${STUDY}/thumbnail`)];
    await sites(null, 'CHEST');
    const other = await get(`${STUDY}/thumbnail`);
    expect([open.status, ofStudy.status, other.status]).toEqual([200, 200, 200]);
    expect(ofStudy.body).toEqual(open.body);
    expect(other.body).not.toEqual(open.body);
    await sites(null, null);
    expect([403, 404]).toContain((await get(`${STUDY}/thumbnail`)).status);
  });

  it('asked for as a whole is that series where it is one, and else is asked for series by series', async () => {
    await sites('CHEST', null);
    expect((await get(STUDY)).status).toBe(200);
    const metadata = await get(`${STUDY}/metadata`);
    expect(JSON.parse(metadata.text || JSON.stringify(metadata.body))).toHaveLength(study.series[0]!.instances.length);
    await sites(null, 'CHEST');
    const other = await get(`${STUDY}/metadata`);
    expect(JSON.parse(other.text || JSON.stringify(other.body))).toHaveLength(study.series[1]!.instances.length);
    await sites('CHEST', 'CHEST');
    const whole = await get(`${STUDY}/metadata`);
    expect(JSON.parse(whole.text || JSON.stringify(whole.body))).toHaveLength(4);
    await sites('CHEST', 'CHEST', null);
    for (const path of [STUDY, `${STUDY}/metadata`]) expect((await get(path)).status).toBe(400);
    for (const i of [0, 1]) expect((await get(`${STUDY}/series/${series(i)}`)).status).toBe(200);
    await sites(null, null);
    for (const path of [STUDY, `${STUDY}/series/${series(0)}`]) expect((await get(path)).status).toBe(404);
  });

  it('is on record with the agreement that opens the part', async () => {
    await sites('CHEST', null);
    await get(`${STUDY}/series/${series(0)}`);
    const [entry] = await world.db.query(sql`select outcome, basis, evidence from audit_event order by id desc limit 1`);
    expect(entry).toMatchObject({ outcome: 0, basis: 'agreement-part', evidence: [{ kind: 'agreement', id: 'p' }] });
    await get(`${STUDY}/series/${series(1)}`);
    const [refused] = await world.db.query(sql`select outcome, detail from audit_event order by id desc limit 1`);
    expect(refused).toMatchObject({ outcome: 4, detail: 'unknown' });
  });
});
