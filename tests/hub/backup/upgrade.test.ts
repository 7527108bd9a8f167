import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { systems } from '../../../fhir-profiles/codes.js';
import { sealAll } from '../../../hub/audit/proof/seal.js';
import { auditKey } from '../../../hub/audit/proof/sealer.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { createDataSource, knownMigrations } from '../../../hub/store/data-source.js';
import { type Database, openDatabase, queryable } from '../../../hub/store/database.js';
import { migrateWithin, whileNobodyMigrates } from '../../../hub/store/migrate.js';
import { sql } from '../../../hub/store/sql.js';
import { joinHospital, startHubProcess, type TestHub } from '../../support/hub-process.js';
import { emptyDatabase, TEST_SECRET, testProtection } from '../../support/test-database.js';
import { hub as run, workFolder } from '../commands/command-line.js';
import { ask } from './support.js';

/** A version of long ago: no agreements that are signed, no guardians, nothing encrypted. */
const OLD = knownMigrations.slice(0, 5);
const NATIONAL = withCheckDigit('11010519700102101');
const PEOPLE = 40;

let work: Awaited<ReturnType<typeof workFolder>>;
let old: Awaited<ReturnType<typeof emptyDatabase>>;
let elsewhere: Awaited<ReturnType<typeof emptyDatabase>>;
const hubs: TestHub[] = [];

const settings = (url: string) => ({ DATABASE_URL: url, HUB_SECRET: TEST_SECRET });
const migrationsOf = async (url: string) =>
  (await ask<{ name: string }>(url, 'select name from migrations order by id')).map((row) => row.name);

async function asOldVersion(url: string): Promise<void> {
  const source = await createDataSource(url).initialize();
  await whileNobodyMigrates(source, (runner) => migrateWithin(source, runner, OLD));
  await source.destroy();
}

const content = (n: number) => ({
  Patient: {
    identifier: [
      { system: 'urn:oid:1.2.3', value: `P-${n}` },
      ...(n === 7 ? [{ system: systems.nationalIdentifier, value: NATIONAL }] : []),
    ],
    name: [{ text: '李雷' }],
    telecom: [{ system: 'phone', value: `1395710${String(n).padStart(4, '0')}` }],
  },
  ImagingStudy: { status: 'available', subject: { reference: `Patient/Patient-${n}` }, numberOfSeries: n },
  DiagnosticReport: {
    status: 'final',
    subject: { reference: `Patient/Patient-${n}` },
    imagingStudy: [{ reference: `ImagingStudy/ImagingStudy-${n}` }],
  },
});

/** Records with a superseded version each, a consent rule, an agreement that nobody signed, and an audit that is sealed but for its last row. */
async function fill(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const record = (table: string, type: string, n: number, version: number, body: object) => {
    const [tokens, none] = table === 'resource' ? ['tokens, ', "'{}', "] : ['', ''];
    return client.query(
      `insert into ${table} (type, patient_id, id, custodian_id, version, last_updated, deleted, modality, body_site, labels, parties, ${tokens}content)
       values ($1, $2, $3, 'county', $4, now(), false, '{}', '{}', '{}', '{}', ${none}$5)`,
      [type, `Patient-${n}`, `${type}-${n}`, version, JSON.stringify(body)],
    );
  };
  for (let n = 0; n < PEOPLE; n++)
    for (const [type, body] of Object.entries(content(n))) {
      await record('resource', type, n, 2, body);
      await record('resource_history', type, n, 1, { ...body, language: 'zh' });
    }
  await client.query(
    `insert into consent_rule (consent_id, patient_id, consent_version, provision, decision) values ('c', 'Patient-1', 1, 'provision', 'deny')`,
  );
  await client.query(`insert into sharing_agreement (id, custodian_id, recipient_id) values ('a', 'county', 'city')`);
  await client.query(
    `create table audit_event_202501 partition of audit_event for values from ('2025-01-01Z') to ('2025-02-01Z')`,
  );
  await client.query(
    `create trigger audit_event_no_truncate before truncate on audit_event_202501 for each statement execute function audit_event_is_append_only()`,
  );
  const read = (
    when: string,
    n: number,
  ) => `insert into audit_event (recorded, type, subtype, action, outcome, agent, patient_id, request_id)
    select ${when}, 'rest', 'read', 'R', 0, 'Practitioner/li', 'Patient-' || n, 'old-' || n from generate_series(1, ${n}) n`;
  await client.query(read("timestamptz '2025-01-10Z' + n * interval '1 minute'", 300));
  await client.query(read('statement_timestamp()', 30));
  const on = queryable(client, testProtection());
  const database = {
    ...on,
    transaction: async (task: (tx: typeof on) => Promise<unknown>) => {
      await client.query('begin');
      const result = await task(on);
      await client.query('commit');
      return result;
    },
  } as unknown as Database;
  await sealAll(database, await auditKey(database, TEST_SECRET));
  const { rows } = await client.query<{ jws: string }>('select jws from audit_head order by tree_size desc limit 1');
  await client.query(read('statement_timestamp()', 1));
  await client.end();
  return rows[0]!.jws;
}

/** Every record and every superseded version, opened. */
async function recordsOf(url: string): Promise<object[]> {
  const db = await openDatabase(url, { protection: testProtection(), poolSize: 2 });
  const rows = await db.query(sql`
    select type, id, version, patient_id, custodian_id, content from resource union all
    select type, id, version, patient_id, custodian_id, content from resource_history order by type, id, version`);
  await db.close();
  return rows.map((row) => ({ ...row, content: JSON.parse(String(row['content'])) }));
}

const expected = (): object[] =>
  ['DiagnosticReport', 'ImagingStudy', 'Patient'].flatMap((type) =>
    Array.from({ length: PEOPLE }, (_, n) => n)
      .sort((a, b) => (`${type}-${a}` < `${type}-${b}` ? -1 : 1))
      .flatMap((n) => {
        const body = content(n)[type as 'Patient'];
        const row = { type, id: `${type}-${n}`, patient_id: `Patient-${n}`, custodian_id: 'county' };
        return [
          { ...row, version: 1, content: { ...body, language: 'zh' } },
          { ...row, version: 2, content: body },
        ];
      }),
  );

describe('a database of an old version', () => {
  let witnessed: string;
  beforeAll(async () => {
    work = await workFolder();
    old = await emptyDatabase();
    elsewhere = await emptyDatabase();
    await asOldVersion(old.url);
    witnessed = await fill(old.url);
  });
  afterAll(async () => {
    for (const hub of hubs) await hub.kill();
    await old.drop();
    await elsewhere.drop();
    await work.remove();
  });

  it('is backed up by the new version as it is, before anything is changed', async () => {
    const ran = await run(['backup', join(work.path, 'old')], settings(old.url));
    expect(ran).toMatchObject({ status: 0, stderr: expect.stringContaining('of an older version: it is backed up as it is') });
    expect(await migrationsOf(old.url)).toEqual(OLD);
  });

  it('is brought up to date once when two hubs start at the same time, with every record and the whole audit', async () => {
    hubs.push(...(await Promise.all([0, 1].map(() => startHubProcess({ databaseUrl: old.url })))));
    expect(await migrationsOf(old.url)).toEqual(knownMigrations);
    expect(await recordsOf(old.url)).toEqual(expected());
    const [rule] = await ask(old.url, 'select decision, btg, lifts from consent_rule');
    expect(rule).toEqual({ decision: 'deny', btg: true, lifts: true });
    expect(await ask(old.url, 'select from sharing_agreement')).toEqual([]); // a draft until it is signed
    const { token } = await joinHospital(hubs[0]!, { id: 'county', assigner: 'urn:oid:1.2.3' });
    const found = await fetch(
      `${hubs[0]!.url}/fhir/Patient?identifier=${systems.nationalIdentifier}|${NATIONAL}&_summary=count`,
      { headers: { authorization: `Bearer ${token}` } },
    );
    expect(await found.json()).toMatchObject({ total: 1 });
    await Promise.all(hubs.map((hub) => hub.stop()));
    const checked = await run(['audit', 'check', '--head', witnessed], settings(old.url));
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringMatching(/0 rows not sealed yet\nok: every row/) });
  });

  it('comes out of its backup the same, brought up to date', async () => {
    const ran = await run(['restore', join(work.path, 'old')], settings(elsewhere.url));
    expect(ran).toMatchObject({ status: 0, stdout: expect.stringContaining('ok: every row is the one that was sealed') });
    expect(await migrationsOf(elsewhere.url)).toEqual(knownMigrations);
    expect(await recordsOf(elsewhere.url)).toEqual(expected());
    expect((await ask(elsewhere.url, 'select from audit_event_202501')).length).toBe(300);
  });
});
