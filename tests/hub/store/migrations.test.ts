import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { Initial1763856000001 } from '../../../hub/store/migrations/0001-initial.js';
import { ConsentProvisions1763856003000 } from '../../../hub/store/migrations/0003-consent-provisions.js';
import { openDatabase } from '../../../hub/store/database.js';
import { sql } from '../../../hub/store/sql.js';
import { administer } from '../../support/global-setup.js';
import { hub, refused } from '../commands/command-line.js';
import { emptyDatabase, TEST_SECRET, testProtection } from '../../support/test-database.js';

const execute = promisify(execFile);

describe('migrations', () => {
  let empty: Awaited<ReturnType<typeof emptyDatabase>>;
  beforeEach(async () => {
    empty = await emptyDatabase();
  });
  afterEach(() => empty.drop());

  const landed = async (): Promise<string[]> => {
    const db = await openDatabase(empty.url, { protection: testProtection() });
    const rows = await db.query<{ name: string }>(sql`select name from migrations order by id`);
    await db.close();
    return rows.map((r) => r.name);
  };

  it('run again without doing anything', async () => {
    const first = await landed();
    expect(first.length).toBeGreaterThan(0);
    expect(await landed()).toEqual(first);
  });

  it('are refused on a database that a newer version made, in one line that names what it has had', async () => {
    await landed();
    await administer(empty.url, "insert into migrations (timestamp, name) values (1900000000000, 'Later1900000000000')");
    const ran = await hub(['serve'], { DATABASE_URL: empty.url, HUB_SECRET: TEST_SECRET, PORT: '0' });
    expect(ran).toEqual(
      refused(expect.stringMatching(/^hub: the database was made by a newer version [^\n]*Later1900000000000[^\n]*\n$/)),
    );
  });

  it('run once when two processes start at the same time on an empty database', async () => {
    const module = new URL('../../../hub/store/database.js', import.meta.url).href;
    const keys = new URL('../../../hub/store/protection.js', import.meta.url).href;
    const program = `
      const { openDatabase } = await import(${JSON.stringify(module)});
      const { createProtection } = await import(${JSON.stringify(keys)});
      await (await openDatabase(process.env.URL_TO_OPEN, { protection: createProtection({ secret: ${JSON.stringify(TEST_SECRET)} }) })).close();`;
    const start = () =>
      execute(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, URL_TO_OPEN: empty.url } });
    await Promise.all([start(), start()]);
    const names = await landed();
    expect(new Set(names).size).toBe(names.length);
  });

  it('find what records that stood before refer to, and leave their consents as closed as they were', async () => {
    const source = new DataSource({ type: 'postgres', url: empty.url, migrations: [Initial1763856000001] });
    await source.initialize();
    await source.runMigrations();
    const record = (type: string, id: string, content: object) =>
      source.query(
        `insert into resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, content)
         values ($1, 'p', $2, 'h', 1, now(), '{}', '{}', '{}', '{}', '{}', $3)`,
        [type, id, JSON.stringify(content)],
      );
    const subject = { reference: 'Patient/p' };
    await record('DiagnosticReport', 'r', {
      subject,
      performer: [{ reference: 'Organization/h' }, { reference: 'Practitioner/d' }],
      imagingStudy: [{ reference: 'ImagingStudy/s/_history/2' }],
      encounter: { reference: 'https://his.example/fhir/Encounter/1' },
    });
    await record('ImagingStudy', 's', { subject, contained: [{ id: 'x' }], interpreter: [{ reference: '#x' }] });
    await source.query(
      "insert into consent_rule (consent_id, patient_id, consent_version, provision, decision) values ('c', 'p', 1, 'provision', 'deny')",
    );
    await new ConsentProvisions1763856003000().up(source.createQueryRunner());
    const rows = await source.query('select id, refers, authors from resource order by id');
    expect(rows.map((r: { refers: string[] }) => [...r.refers].sort())).toEqual([
      ['ImagingStudy/s', 'Practitioner/d', 'https://his.example/fhir/Encounter/1'],
      [],
    ]);
    // nobody is known to have written them: a denial by author covers them all
    expect(rows.map((r: { authors: string[] }) => r.authors)).toEqual([[], []]);
    expect(await source.query('select place, last, btg from consent_rule')).toEqual([{ place: 0, last: 0, btg: true }]);
    await source.destroy();
  });
});
