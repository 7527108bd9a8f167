import { execFile } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { type EmbeddedPostgres, removeEmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded.js';
import { type EmbeddedPlace, embeddedPlace } from '../../../hub/store/embedded-place.js';
import { samplePatient } from '../../support/fhir-samples.js';
import { joinHospital, startHubProcess, type TestHub } from '../../support/hub-process.js';
import { TEST_SECRET } from '../../support/test-database.js';
import { hub as run } from '../commands/command-line.js';
import { ask, everythingSealed, until } from './support.js';

const execute = promisify(execFile);
const HOSPITAL = { id: 'county', assigner: 'urn:oid:1.2.3.4.5' };

/** As docs/backup-and-restore.md has it, on a PostgreSQL of the drill's own: its log goes to an archive, and its base backup is the files between two calls. */
describe('point in time recovery', () => {
  let dataDir: string;
  let place: EmbeddedPlace;
  let server: EmbeddedPostgres;
  let hub: TestHub;
  const folder = (name: string): string => join(place.folder, name);
  const ours = (path: string): void => {
    if (place.user) chownSync(path, place.user.uid, place.user.gid);
  };

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'hub-recovery-'));
    chmodSync(dataDir, 0o755);
    place = await embeddedPlace(dataDir);
    server = await startEmbeddedPostgres({ dataDir });
    mkdirSync(folder('archive'));
    ours(folder('archive'));
    await ask(
      server.url,
      'alter system set archive_mode = on',
      `alter system set archive_command = 'test ! -f ${folder('archive')}/%f && cp %p ${folder('archive')}/%f'`,
    );
    await server.stop();
    server = await startEmbeddedPostgres({ dataDir });
    hub = await startHub();
  });
  afterAll(async () => {
    await hub?.kill();
    await removeEmbeddedPostgres(dataDir);
  });

  const startHub = () => startHubProcess({ databaseUrl: server.url, environment: { HUB_AUDIT_SEAL_SECONDS: '0.2' } });
  const write = async (token: string, number: string): Promise<string> => {
    const answer = await fetch(`${hub.url}/fhir/Patient`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' },
      body: JSON.stringify(samplePatient(HOSPITAL.assigner, number)),
    });
    expect(answer.status).toBe(201);
    return ((await answer.json()) as { id: string }).id;
  };
  const patients = async (): Promise<string[]> =>
    (await ask<{ id: string }>(server.url, "select id from resource where type = 'Patient'")).map((row) => row.id).sort();

  /** Both calls have to come from one session. */
  const baseBackup = async (): Promise<void> => {
    const session = new pg.Client({ connectionString: server.url });
    await session.connect();
    await session.query("select pg_backup_start('base', fast => true)");
    await execute('cp', ['-a', folder('data'), folder('base')]);
    const { rows } = await session.query<{ labelfile: string }>('select labelfile from pg_backup_stop(wait_for_archive => true)');
    await session.end();
    for (const gone of ['postmaster.pid', 'postmaster.opts', 'pg_wal'])
      rmSync(join(folder('base'), gone), { recursive: true, force: true });
    mkdirSync(join(folder('base'), 'pg_wal'), { mode: 0o700 });
    ours(join(folder('base'), 'pg_wal'));
    writeFileSync(join(folder('base'), 'backup_label'), rows[0]!.labelfile);
    ours(join(folder('base'), 'backup_label'));
  };

  const everythingIsArchived = async (): Promise<void> => {
    const [last] = await ask<{ wal: string }>(server.url, 'select pg_walfile_name(pg_switch_wal()) as wal');
    await until('the log is archived', async () => {
      const [archived] = await ask<{ wal: string | null }>(server.url, 'select last_archived_wal as wal from pg_stat_archiver');
      return (archived?.wal ?? '') >= last!.wal;
    });
  };

  const recoverTo = async (moment: string): Promise<void> => {
    await execute('cp', ['-a', folder('base'), folder('data')]);
    const settings = [
      `restore_command = 'cp ${folder('archive')}/%f %p'`,
      `recovery_target_time = '${moment}'`,
      "recovery_target_action = 'promote'",
    ];
    writeFileSync(
      join(folder('data'), 'postgresql.auto.conf'),
      `${readFileSync(join(folder('data'), 'postgresql.auto.conf'))}${settings.join('\n')}\n`,
    );
    writeFileSync(join(folder('data'), 'recovery.signal'), '');
    ours(join(folder('data'), 'recovery.signal'));
    server = await startEmbeddedPostgres({ dataDir });
    await until(
      'it is at that moment',
      async () => (await ask<{ busy: boolean }>(server.url, 'select pg_is_in_recovery() as busy'))[0]?.busy === false,
    );
  };

  it('brings everything back up to the moment before a disaster, and hub and audit go on from there', async () => {
    const { token } = await joinHospital(hub, HOSPITAL);
    const before = [await write(token, 'before-1'), await write(token, 'before-2')];
    await baseBackup();
    const after = [await write(token, 'after-1'), await write(token, 'after-2')];
    await everythingSealed(server.url);
    const [witnessed] = await ask<{ jws: string }>(server.url, 'select jws from audit_head order by tree_size desc limit 1');
    const all = await patients();
    expect(all).toEqual([...before, ...after].sort());
    const [moment] = await ask<{ now: string }>(server.url, 'select clock_timestamp()::text as now');

    // somebody deletes what he should not; what is written after it goes the same way
    await ask(server.url, "delete from resource where type = 'Patient'");
    await write(token, 'too-late');
    await everythingIsArchived();
    await hub.kill();
    process.kill(Number(readFileSync(join(folder('data'), 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
    await until('the server is gone', async () =>
      ask(server.url, 'select 1').then(
        () => false,
        () => true,
      ),
    );
    rmSync(folder('data'), { recursive: true, force: true });

    await recoverTo(moment!.now);
    expect(await patients()).toEqual(all);
    hub = await startHub();
    const { token: fresh } = await joinHospital(hub, HOSPITAL);
    const next = await write(fresh, 'next');
    expect(await patients()).toEqual([...all, next].sort());
    await everythingSealed(server.url);
    const checked = await run(['audit', 'check', '--head', witnessed!.jws], {
      DATABASE_URL: server.url,
      HUB_SECRET: TEST_SECRET,
    });
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringMatching(/0 rows not sealed yet\nok: every row/) });
  });
});
