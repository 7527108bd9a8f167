import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { connectorSettings } from '../../../connectors/index.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { hub, workFolder } from './command-line.js';

/** What docs/join-a-hospital.md says is what happens. */
describe('the guide to joining a hospital', () => {
  let database: TestDatabase;
  let work: Awaited<ReturnType<typeof workFolder>>;
  let guide: string;
  beforeAll(async () => {
    database = await testDatabase();
    work = await workFolder();
    guide = await readFile('docs/join-a-hospital.md', 'utf8');
  });
  afterAll(async () => {
    await database.close();
    await work.remove();
  });

  it('has records that are taken as they stand, one after the other', async () => {
    const records = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(records).toHaveLength(5);
    for (const record of records) {
      const file = await work.write('hospital.yaml', record);
      const { id, consortium } = parse(record);
      const ran = await hub(['hospital', 'add', file], { DATABASE_URL: database.url, HUB_SECRET: 'secret-of-the-tests-only' });
      expect(ran).toEqual({
        status: 0,
        stdout: expect.stringMatching(`^${id} is joined; see: hub hospital check ${id}\n`),
        stderr: '',
      });
      if (!consortium) continue;
      expect(ran.stdout).toContain(`/access/agreements/east-consortium.${id}\n`);
      if (id === 'county-hospital') expect(guide).toContain(ran.stdout);
    }
    const { rows } = await database.db.pool.query(
      'select id, settings::text as settings, secrets is not null as sealed from connector order by id',
    );
    expect(rows.map(({ id, sealed }) => [id, sealed])).toEqual([
      ['county-archive', false],
      ['county-fhir', true],
      ['county-his', false],
      ['first-pacs', true],
      ['township-pacs', false],
    ]);
    expect(JSON.stringify(rows)).not.toContain('password');
    const members = await database.db.pool.query("select id from resource where type = 'OrganizationAffiliation' order by 1");
    expect(members.rows.map((row) => row.id)).toEqual(['east-consortium.county-hospital', 'east-consortium.first-hospital']);
  });

  it('names every setting of every kind of source', () => {
    for (const { shape } of Object.values(connectorSettings))
      for (const name of Object.keys(shape)) expect(guide).toContain(`\`${name}\``);
  });

  it('shows what a check prints', async () => {
    await mkdir(join(work.path, 'archive'));
    const settings = { DATABASE_URL: database.url, HUB_SECRET: 'secret-of-the-tests-only' };
    await database.db.pool.query("update connector set settings = $1 where id = 'county-archive'", [
      { root: join(work.path, 'archive') },
    ]);
    const { stdout } = await hub(['hospital', 'check', 'county-hospital'], settings);
    const headings = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.startsWith('id '))
        .map((line) => line.split(/\s+/));
    expect(headings(stdout)).toHaveLength(2);
    expect(headings(guide)).toEqual(headings(stdout));
    for (const text of [stdout, guide]) expect(text).toMatch(/ true +\d+ entries$/m);
  });
});
