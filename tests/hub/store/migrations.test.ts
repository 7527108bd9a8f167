import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { Initial1763856000001 } from '../../../hub/store/migrations/0001-initial.js';
import { ConsentProvisions1763856003000 } from '../../../hub/store/migrations/0003-consent-provisions.js';
import { createDataSource, knownMigrations } from '../../../hub/store/data-source.js';
import { openDatabase } from '../../../hub/store/database.js';
import { migrateWithin, whileNobodyMigrates } from '../../../hub/store/migrate.js';
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

  it('give scores that stood before the labels of what they were made of, and keep their documents that wait', async () => {
    const source = await createDataSource(empty.url).initialize();
    const earlier = knownMigrations.slice(0, knownMigrations.indexOf('Verdicts1763856044000'));
    await whileNobodyMigrates(source, (runner) => migrateWithin(source, runner, earlier));
    await source.destroy();
    const R = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R';
    const record = (type: string, id: string, refers: string[], labels: string[] = []) => `
      insert into resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, refers, meta, content)
      values ('${type}', 'p', '${id}', 'a', 1, now(), '{}', '{}', '{${labels.map((l) => `"${l}"`).join()}}', '{}', '{}',
        '{${refers.join()}}', '${JSON.stringify(labels.length > 0 ? { security: [{ system: R.split('|')[0], code: 'R' }] } : {})}', '{}')`;
    await administer(
      empty.url,
      record('Observation', 'value', [], [R]),
      record('DiagnosticReport', 'laboratory', ['Observation/value']),
      record('Observation', 'score', ['Observation/value']),
      record('DiagnosticReport', 'report', ['Observation/score']),
      record('DiagnosticReport', 'other', []),
      `insert into score_record (report_id, provenance_id, task_id, focus, sealed) values ('report', 'p', 't', 'DiagnosticReport/laboratory', 'x')`,
      `insert into result_store_job (task_id, report_id, study_id, patient_id, custodian_id, sop_instance_uid) values ('t', 'r', 's', 'p', 'a', '1.2')`,
    );
    const db = await openDatabase(empty.url, { protection: testProtection() });
    const labelled = await db.query<{ id: string; labels: string[] }>(sql`select id, labels from resource order by id`);
    const [job] = await db.query(sql`select job_id, task_id, report_version, state from result_store_job`);
    await db.close();
    expect(Object.fromEntries(labelled.map(({ id, labels }) => [id, labels]))).toEqual({
      ...{ value: [R], score: [R], report: [R] },
      ...{ laboratory: [], other: [] },
    });
    expect(job).toEqual({ job_id: 't', task_id: 't', report_version: 1, state: 'queued' });
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
