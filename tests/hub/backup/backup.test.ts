import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { systems } from '../../../fhir-profiles/codes.js';
import { openBackup } from '../../../hub/backup/open-backup.js';
import { withCheckDigit } from '../../../hub/identity/national-identifier.js';
import { dataSet, part10 } from '../../connectors/support/data-sets.js';
import { bundleOf, post, samplePatient } from '../../support/fhir-samples.js';
import { joinHospital, startHubProcess, type TestHub } from '../../support/hub-process.js';
import { emptyDatabase, TEST_SECRET } from '../../support/test-database.js';
import { hub as run, refused, workFolder } from '../commands/command-line.js';
import { ask, bytesIn, contentOf, everythingSealed, isEmpty, started, until } from './support.js';

const ASSIGNER = 'urn:oid:1.2.3.4.5';
const NATIONAL = withCheckDigit('11010519700102101');
const HOSPITAL = { id: 'county', assigner: ASSIGNER };
const SECRET = { HUB_SECRET: TEST_SECRET };

let work: Awaited<ReturnType<typeof workFolder>>;
let source: Awaited<ReturnType<typeof emptyDatabase>>;
const others: Awaited<ReturnType<typeof emptyDatabase>>[] = [];
let hub: TestHub;
let token: string;

const hubOn = (url: string) => startHubProcess({ databaseUrl: url, environment: { HUB_AUDIT_SEAL_SECONDS: '0.2' } });
const backup = (folder: string, environment: Record<string, string> = {}) =>
  run(['backup', folder], { DATABASE_URL: source.url, ...SECRET, ...environment });
const restore = (folder: string, url: string, environment: Record<string, string> = {}) =>
  run(['restore', folder], { DATABASE_URL: url, ...SECRET, ...environment });
const send = (at: TestHub, by: string, path: string, body?: object) =>
  fetch(`${at.url}/fhir${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${by}`, 'content-type': 'application/fhir+json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
const totalOf = async (at: TestHub, by: string, query: string): Promise<number> =>
  ((await (await send(at, by, `/${query}&_summary=count`)).json()) as { total: number }).total;
const another = async (): Promise<string> => {
  const database = await emptyDatabase();
  others.push(database);
  return database.url;
};
/** An object reaches the hospital's archive. */
const arrives = (study: number) =>
  writeFile(
    join(work.path, 'archive', `${study}.dcm`),
    part10(
      dataSet({
        '00080018': ['UI', `2.25.7.${study}.1.1`],
        '0020000D': ['UI', `2.25.7.${study}`],
        '0020000E': ['UI', `2.25.7.${study}.1`],
      }),
    ),
  );
const studiesOf = async (url: string): Promise<number[]> =>
  (
    await ask<{ n: number }>(
      url,
      "select split_part(study_instance_uid, '.', 4)::int as n from study_claim where study_instance_uid like '2.25.7.%' order by 1",
    )
  ).map((r) => r.n);

beforeAll(async () => {
  work = await workFolder();
  source = await emptyDatabase(process.env.TEST_DATABASE_TEMPLATE);
  // it was restored from another cluster before: ids of transactions are counted on from there
  await ask(
    source.url,
    "insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id, xact) values (now(), 'rest', 'read', 'R', 0, 'Device/hub', 'earlier', 5000000000)",
    "update audit_seal set cluster = 'another'",
  );
  hub = await hubOn(source.url);
  ({ token } = await joinHospital(hub, HOSPITAL));
  await mkdir(join(work.path, 'archive'));
  await arrives(1);
  const settings = JSON.stringify({ root: join(work.path, 'archive') });
  await ask(
    source.url,
    `insert into connector (id, organization_id, kind, settings) values ('county.folder', 'county', 'folder', '${settings}')`,
  );
  const patient = samplePatient(ASSIGNER, 'A-1', {
    identifier: [
      { system: ASSIGNER, value: 'A-1' },
      { system: systems.nationalIdentifier, value: NATIONAL },
    ],
    telecom: [{ system: 'phone', value: '13957104826' }],
    address: [{ text: 'a\ttab, a\nline, a back\\slash, "quotes"' }],
  });
  expect((await send(hub, token, '/Patient', patient)).status).toBe(201);
  // rows that refer to others, which the requests above do not write
  await ask(
    source.url,
    `insert into exceptional_access (id, kind, agent, agent_name, organization_id, reason, statement, valid_until, review_due)
     values ('x', 'break-glass', 'Practitioner/li', '李', 'county', 'unconscious', 'none', now(), now())`,
    `insert into exceptional_access_patient (access_id, patient_id, custodian_id, named) values ('x', 'p', 'county', true)`,
    `insert into outbox (topic, payload) values ('kept', '{}')`,
  );
  await until('the study is indexed', async () => (await studiesOf(source.url)).length === 1);
});
afterAll(async () => {
  await hub?.kill();
  await source?.drop();
  await Promise.all(others.map((database) => database.drop()));
  await work?.remove();
});

describe('a backup beside a running hub', () => {
  it('is of one instant: what was written together is in it together, with its audit', async () => {
    const stop = new AbortController();
    let written = 0;
    const writing = [1, 2, 3].map(async (writer) => {
      for (let i = 0; !stop.signal.aborted; i++) {
        const pair = ['a', 'b'].map((half) => post(samplePatient(ASSIGNER, `W-${writer}-${i}-${half}`)));
        const answer = await send(hub, token, '', bundleOf('transaction', pair));
        expect(answer.status).toBe(200);
        written++;
      }
    });
    await until('writes are under way', async () => written > 5);
    const ran = await backup(join(work.path, 'busy'));
    stop.abort();
    await Promise.all(writing);
    expect(ran).toMatchObject({ status: 0, stdout: expect.stringMatching(/busy: the state of .*keys needed: [0-9a-f]{8}/s) });
    const url = await another();
    expect(await restore(join(work.path, 'busy'), url)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('ok: every row is the one that was sealed'),
    });
    const [found] = await ask<Record<string, number>>(
      url,
      `with written as (select id, content->'identifier'->0->>'value' as number from resource where type = 'Patient' and content->'identifier'->0->>'value' like 'W-%')
       select count(*)::int as patients, (select count(*)::int from (select from written group by left(number, -1) having count(*) <> 2) as half) as halves,
         (select count(*)::int from written w where not exists (select from audit_event where ('Patient/' || w.id) = any(entity))) as unaudited from written`,
    );
    expect(found).toMatchObject({ halves: 0, unaudited: 0 });
    expect(found!['patients']).toBeGreaterThan(10);
    expect(found!['patients']).toBeLessThan(written * 2);
  });

  it('holds no word of a record in clear, and files that only their owner reads', async () => {
    const bytes = await bytesIn(join(work.path, 'busy'));
    for (const word of ['李雷', NATIONAL, 'A-1', 'county']) expect([word, bytes.includes(word)]).toEqual([word, false]);
    expect((await readdir(work.path)).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('that is killed, or loses the database, leaves nothing that could be taken for one', async () => {
    const blocker = new pg.Client({ connectionString: source.url });
    await blocker.connect();
    await blocker.query('begin');
    await blocker.query('lock table outbox in access exclusive mode');
    const waiting = async () =>
      (
        await ask<{ pid: number }>(
          source.url,
          "select pid from pg_stat_activity where application_name = 'hub-backup' and wait_event_type = 'Lock'",
        )
      )[0]?.pid;
    const killed = started(['backup', join(work.path, 'killed')], { DATABASE_URL: source.url });
    await until('the backup waits', async () => (await waiting()) !== undefined);
    await killed.kill();
    await until('its session ended', async () => {
      await ask(source.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hub-backup'");
      return (await waiting()) === undefined;
    });
    const cutOff = backup(join(work.path, 'cut-off'));
    await until('the backup waits', async () => (await waiting()) !== undefined);
    await ask(source.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hub-backup'");
    expect(await cutOff).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(/^hub: [^\n]*terminat[^\n]*\n$/) });
    await blocker.end();
    const left = (await readdir(work.path)).filter((name) => /killed|cut-off/.test(name));
    expect(left).toEqual([expect.stringMatching(/^killed\.partial-/)]);
    expect(await run(['backup', 'check', join(work.path, left[0]!)], SECRET)).toEqual(
      refused(expect.stringContaining('is no backup')),
    );
  });
});

describe('a restored hub', () => {
  let url: string;
  let restored: TestHub;
  let before: Awaited<ReturnType<typeof stateOf>>;
  const months = async (at: string) =>
    (
      await ask<{ name: string }>(at, "select relname as name from pg_class where relname ~ '^audit_event_[0-9]{6}$' order by 1")
    ).map((r) => r.name);
  /** Everything; of what a restore adds to, the audit, the rows of before, and not its proof. */
  const stateOf = async (at: string) => ({
    content: await contentOf(at, ['audit_event_default', 'audit_head', 'audit_leaf', 'audit_seal', ...(await months(at))]),
    months: await months(at),
    audit: (
      await ask<{ rows: string; newest: number }>(
        at,
        "select md5(string_agg(a::text, ' ' order by id)) as rows, max(id)::int as newest from audit_event a where subtype <> 'restore'",
      )
    )[0]!,
  });
  beforeAll(async () => {
    await hub.stop();
    expect(await backup(join(work.path, 'quiet'))).toMatchObject({ status: 0 });
    before = await stateOf(source.url);
    hub = await hubOn(source.url);
    await arrives(2);
    await until('it is indexed', async () => (await studiesOf(source.url)).length === 2);
    await hub.kill();
    url = await another();
  });
  afterAll(() => restored?.kill());

  it('has every row as it was, the audit with its months, keys and sequences, and says what is lost', async () => {
    const ran = await restore(join(work.path, 'quiet'), url);
    expect(ran.status).toBe(0);
    expect(ran.stdout).toMatch(/WARNING: this is the state of .*\n.*consents that were withdrawn, accounts that were disabled/);
    expect(await stateOf(url)).toEqual(before);
    expect(before.months.length).toBeGreaterThan(0);
    await expect(ask(url, 'delete from audit_event')).rejects.toThrow('append-only');
    await expect(ask(url, `truncate ${before.months[0]}`)).rejects.toThrow('append-only');
    const last = (await ask<{ id: number }>(url, 'select max(id)::int as id from outbox'))[0]!.id;
    const [next] = await ask<{ id: number }>(url, "insert into outbox (topic, payload) values ('next', '{}') returning id::int");
    expect(next!.id).toBe(last + 1);
  });

  it('goes on: what reached an archive meanwhile is read again, sealed values are found, the audit is one with that of before', async () => {
    expect(await studiesOf(url)).toEqual([1]);
    restored = await hubOn(url);
    await until('it is indexed again', async () => (await studiesOf(url)).length === 2);
    const { token: fresh } = await joinHospital(restored, HOSPITAL);
    expect(await totalOf(restored, fresh, `Patient?identifier=${systems.nationalIdentifier}|${NATIONAL}`)).toBe(1);
    expect(await totalOf(restored, fresh, 'Patient?phone=13957104826')).toBe(1);
    const again = await send(restored, fresh, '/Patient', samplePatient(ASSIGNER, 'A-1'));
    expect(again.status).toBe(409); // the number is held
    expect((await send(restored, fresh, '/Patient', samplePatient(ASSIGNER, 'A-2'))).status).toBe(201);
    const [newest] = await ask<{ id: number }>(url, 'select max(id)::int as id from audit_event');
    expect(newest!.id).toBeGreaterThan(before.audit.newest);
    await everythingSealed(url);
    const head = JSON.parse(await readFile(join(work.path, 'quiet', 'manifest.json'), 'utf8')).audit.jws;
    const checked = await run(['audit', 'check', '--head', head], { DATABASE_URL: url, ...SECRET });
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringMatching(/0 rows not sealed yet\nok: every row/) });
  });
});

describe('a restore', () => {
  const quiet = (): string => join(work.path, 'quiet');
  /** A copy of the backup that something has happened to. */
  const copy = async (change: (folder: string) => Promise<unknown>): Promise<string> => {
    const folder = join(work.path, 'copy');
    await rm(folder, { recursive: true, force: true });
    await cp(quiet(), folder, { recursive: true });
    await change(folder);
    return folder;
  };
  const edit = (find: RegExp, replace: string) => async (folder: string) => {
    const path = join(folder, 'manifest.json');
    const text = await readFile(path, 'utf8');
    expect(text).toMatch(find);
    await writeFile(path, text.replace(find, replace));
  };
  const flip = async (folder: string) => {
    const path = join(folder, 'tables', 'resource_other');
    const bytes = await readFile(path);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(path, bytes);
  };

  it.each<[string, (folder: string) => Promise<unknown>, RegExp]>([
    ['with a changed byte', flip, /resource_other is not the file that was written/],
    ['that was cut short', (f) => truncate(join(f, 'tables', 'study_claim'), 20), /study_claim is not the file/],
    ['without one of its files', (f) => rm(join(f, 'tables', 'account')), /account is missing/],
    ['that says other numbers than were written', edit(/"rows": 1,/, '"rows": 0,'), /manifest.json was changed/],
    ['that names a file elsewhere', edit(/"name": "account"/, '"name": "../account"'), /manifest.json is not one of a backup/],
    ['that says it is of another version', edit(/"LabelsLifted\w+"/, '"Later1900000000000"'), /manifest.json was changed/],
  ])('opens no backup %s', async (_, change, line) => {
    await expect(openBackup(await copy(change), [TEST_SECRET])).rejects.toThrow(line);
  });

  it('of a backup that was changed is refused before anything is written', async () => {
    const url = await another();
    const ran = await restore(await copy(flip), url);
    expect(ran).toEqual(refused(expect.stringMatching(/^hub: the backup is not whole: [^\n]*\n$/)));
    expect(await isEmpty(url)).toBe(true);
  });

  it('without the secret, or into a database that is not empty, is refused; what is there stays', async () => {
    const url = await another();
    const other = await restore(quiet(), url, { HUB_SECRET: 'another-secret-of-the-tests' });
    expect(other).toEqual(
      refused(
        expect.stringMatching(/^hub: the backup is encrypted under another secret \(key [0-9a-f]{8}\): set HUB_SECRET[^\n]*\n$/),
      ),
    );
    const serving = new pg.Client({ connectionString: url, application_name: 'hub-policy' });
    await serving.connect();
    expect(await restore(quiet(), url)).toEqual(refused(expect.stringContaining('a hub is connected to the database')));
    await serving.end();
    await ask(url, 'create table kept as select 42 as answer');
    expect(await restore(quiet(), url)).toMatchObject({ status: 1, stderr: expect.stringMatching(/not empty \(it has kept\)/) });
    expect(await ask(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('that is killed in the middle leaves the database empty, and can be run again', async () => {
    const url = await another();
    // it stands still when the rows are in
    await ask(
      url,
      "create function stand_still() returns event_trigger language plpgsql as 'begin if exists (select from resource_other) then perform pg_sleep(60); end if; end'",
      "create event trigger stand_still on ddl_command_end when tag in ('ALTER TABLE') execute function stand_still()",
    );
    const sessions = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    const standing = async () => (await ask(url, `select ${sessions}`)).length;
    const killed = started(['restore', quiet()], { DATABASE_URL: url });
    await until('the rows are in', async () => (await standing()) === 1);
    await killed.kill();
    await ask(url, `select pg_terminate_backend(pid) ${sessions}`);
    await until('its session ended', async () => (await standing()) === 0);
    await ask(url, 'drop event trigger stand_still', 'drop function stand_still');
    expect(await isEmpty(url)).toBe(true);
    expect((await restore(quiet(), url)).status).toBe(0);
  });

  it('needs every secret that values still lie under while the secret is being changed', async () => {
    const folder = join(work.path, 'two-secrets');
    const next = 'the-next-secret-of-the-tests';
    expect(await backup(folder, { HUB_SECRET: next, HUB_PREVIOUS_SECRETS: TEST_SECRET })).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/keys needed: [0-9a-f]{8}, [0-9a-f]{8}\n/),
    });
    await expect(openBackup(folder, [next])).rejects.toThrow('under another secret');
    await expect(openBackup(folder, [TEST_SECRET])).rejects.toThrow('under another secret');
    await expect(openBackup(folder, [next, TEST_SECRET])).resolves.toBeDefined();
  });
});
