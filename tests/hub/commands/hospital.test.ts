import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DEMO_PASSWORD } from '../../../hub/demo/region.js';
import { type RunningHub, startHub } from '../../support/running-hub.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { hub, refused, workFolder } from './command-line.js';

/** What an operator does to join a hospital, in the order in which docs/join-a-hospital.md tells it. */
describe('a hospital joins by the command line', () => {
  let database: TestDatabase;
  let running: RunningHub;
  let work: Awaited<ReturnType<typeof workFolder>>;
  let environment: Record<string, string>;
  const run = (...args: string[]) => hub(args, environment);
  const record = (more: string): string => `id: county-hospital
name: 河东县人民医院
assigner: urn:oid:1.2.826.0.1.3680043.10.1451.2
${more}`;

  beforeAll(async () => {
    database = await testDatabase();
    running = await startHub({ database, config: { secret: 'secret-of-the-tests-only' }, password: DEMO_PASSWORD });
    work = await workFolder();
    await mkdir(join(work.path, 'archive'));
    environment = {
      DATABASE_URL: database.url,
      HUB_SECRET: 'secret-of-the-tests-only',
      HUB_PUBLIC_URL: running.url,
      HUB_OUTBOUND_NETWORKS: '127.0.0.0/8',
    };
  });
  afterAll(async () => {
    await running.stop();
    await database.close();
    await work.remove();
  });

  it('before anybody has, the list says so', async () => {
    expect(await run('hospital', 'list')).toEqual({ status: 0, stdout: 'no hospital has joined yet\n', stderr: '' });
    expect(await run('hospital', 'check')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await run('hospital', 'check', 'county-hospital')).toEqual(refused('hub: there is no hospital county-hospital\n'));
  });

  it.each([
    ['is no YAML', 'id: [', /^hub: .*record\.yaml:\d+:\d+: [^\n]+\n$/],
    ['is empty', '', /^hub: [^\n]*expected object[^\n]*\n$/],
    ['lacks its assigner', 'id: a\nname: A\n', /^hub: assigner: [^\n]*\n$/],
    ['has an element too many', 'id: a\nname: A\nassigner: urn:x:y\nassginer: x\n', /^hub: [^\n]*assginer[^\n]*\n$/],
    ['has an id that is none', 'id: a b\nname: A\nassigner: urn:x:y\n', /^hub: id: must be a FHIR id\n$/],
    [
      'has a source of no known kind',
      'id: a\nname: A\nassigner: urn:x:y\nsources: [{ kind: ftp, settings: {} }]\n',
      /^hub: kind: one of folder, dicomweb[a-z0-9, ]*\n$/,
    ],
    [
      'lacks a setting',
      'id: a\nname: A\nassigner: urn:x:y\nsources: [{ kind: folder, settings: {} }]\n',
      /^hub: settings\.root: [^\n]*\n$/,
    ],
    [
      'names a consortium that is not there',
      'id: a\nname: A\nassigner: urn:x:y\nconsortium: nobody\n',
      /^hub: [^\n]*nobody[^\n]*\n$/,
    ],
    [
      'holds a private key',
      'id: a\nname: A\nassigner: urn:x:y\nclient: { id: a.system, jwks: { keys: [{ kty: EC, crv: P-384, x: a, y: b, d: c }] } }\n',
      /^hub: [^\n]*a private key does not belong here\n$/,
    ],
  ])('a record that %s is refused in one line, and nothing of it lands', async (_, text, line) => {
    const file = await work.write('record.yaml', text);
    expect(await run('hospital', 'add', file)).toEqual(refused(expect.stringMatching(line)));
    expect((await database.db.pool.query("select 1 from organization where kind = 'hospital'")).rows).toEqual([]);
  });

  it('its system gets a key pair; the private key is the file owner’s alone and is never overwritten', async () => {
    const file = join(work.path, 'county.jwk');
    const { status, stdout } = await run('client', 'keygen', file);
    expect(status).toBe(0);
    const [key] = JSON.parse(stdout).keys;
    expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const before = await readFile(file, 'utf8');
    expect(JSON.parse(before)).toMatchObject({ ...key, d: expect.any(String) });
    expect(await run('client', 'keygen', file)).toEqual(refused(expect.stringMatching(/^hub: EEXIST[^\n]*\n$/)));
    expect(await readFile(file, 'utf8')).toBe(before);
    await writeFile(join(work.path, 'public.json'), stdout);
  });

  it('is added, also twice, and its running hub reads it', async () => {
    const jwks = await readFile(join(work.path, 'public.json'), 'utf8');
    const file = await work.write(
      'county.yaml',
      record(`consortium: { id: east-consortium, name: 河东医联体 }
sources:
  - kind: folder
    settings: { root: ${join(work.path, 'archive')}, clockSkewMs: 0 }
client:
  id: county-hospital.system
  jwks: ${jwks}`),
    );
    const joined = 'county-hospital is joined; see: hub hospital check county-hospital\n';
    const unsigned =
      'its membership takes effect when its administrator has signed it: /access/agreements/east-consortium.county-hospital\n';
    const done = { status: 0, stdout: `${joined}${unsigned}`, stderr: '' };
    expect(await run('hospital', 'add', file)).toEqual(done);
    expect(await run('hospital', 'add', file)).toEqual(done);
    await running.hub.sources.idle();
    const { status, stdout } = await run('hospital', 'list');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^county-hospital +河东县人民医院 +true +0 +0 +0 +county-hospital\.1$/m);
    const members = () => database.db.pool.query('select consortium_id, organization_id from consortium_member');
    expect((await members()).rows).toEqual([]);
    await running.sign('east-consortium.county-hospital', 'county-hospital');
    expect((await members()).rows).toEqual([{ consortium_id: 'east-consortium', organization_id: 'county-hospital' }]);
    const again = await work.write('again.yaml', record('consortium: east-consortium\n'));
    expect(await run('hospital', 'add', again)).toEqual({ ...done, stdout: joined });
    expect((await members()).rows).toHaveLength(1);
  });

  it('is checked: its folder answers and was read; when the folder is gone that is said, with status 1', async () => {
    const sound = await run('hospital', 'check', 'county-hospital');
    expect(sound).toMatchObject({ status: 0, stderr: '' });
    expect(sound.stdout).toMatch(/^county-hospital\.1 +folder +true +\d{4}-\d\d-\d\dT[\d:.]+Z +\d+ .* true /m);
    const file = await work.write(
      'lost.yaml',
      record(`sources: [{ id: county-lost, kind: folder, settings: { root: ${work.path}/gone } }]`),
    );
    expect((await run('hospital', 'add', file)).status).toBe(0);
    const lost = await run('hospital', 'check');
    expect(lost.status).toBe(1);
    expect(lost.stdout).toMatch(/^county-lost +folder +true .* false +\S.*$/m);
    await database.db.pool.query("update connector set enabled = false where id = 'county-lost'");
  });

  it('its system gets a token by its key, and the token is good for what the record says', async () => {
    const { status, stdout } = await run('token', '--client', 'county-hospital.system', '--key', join(work.path, 'county.jwk'));
    expect(status).toBe(0);
    const answer = await running.http().get('/fhir/ImagingStudy').set('authorization', `Bearer ${stdout.trim()}`);
    expect(answer.status).toBe(200);
  });

  it.each([
    ['of nobody', ['--client', 'nobody', '--key', 'county.jwk'], /^hub: token refused: HTTP 401 [^\n]*\n$/],
    ['with another key', ['--client', 'county-hospital.system', '--key', 'other.jwk'], /^hub: token refused: HTTP 401 [^\n]*\n$/],
    [
      'with what is no key',
      ['--client', 'county-hospital.system', '--key', 'county.yaml'],
      /^hub: [^\n]*county\.yaml holds no JSON Web Key\n$/,
    ],
  ])('a token %s is refused', async (_, [as, id, key, file], line) => {
    if (file === 'other.jwk') await run('client', 'keygen', join(work.path, file));
    expect(await run('token', as!, id!, key!, join(work.path, file!))).toEqual(refused(expect.stringMatching(line)));
  });

  it('a person of the demonstration gets a token in one of her roles', async () => {
    await running.enrol({ username: 'zhang', role: 'hospital-administrator', organizationId: 'county-hospital' });
    const { status, stdout } = await run('token', '--as', 'zhang');
    expect(status).toBe(0);
    expect((await running.http().get('/quarantine').set('authorization', `Bearer ${stdout.trim()}`)).body).toEqual({ items: [] });
    expect((await run('token', '--as', 'zhang', '--role', 'auditor')).stderr).toMatch(
      /^hub: token refused: HTTP 4\d\d [^\n]*\n$/,
    );
    expect((await run('token', '--as', 'nobody')).stderr).toMatch(/^hub: sign-in of nobody refused[^\n]*\n$/);
  });

  it('is read again from the beginning when told so', async () => {
    const attempts = async (): Promise<number> => {
      await running.hub.sources.idle();
      const { rows } = await database.db.pool.query('select attempts, reason from quarantine');
      expect(rows).toEqual([{ attempts: expect.any(Number), reason: 'not-dicom' }]);
      return rows[0].attempts;
    };
    await work.write('archive/letter.dcm', 'a letter');
    // A file is looked at again until it has been left alone for a while.
    let before = await attempts();
    for (let last = 0; last !== before; ) [last, before] = [before, await attempts()];
    expect(await run('reindex', 'county-hospital')).toEqual({
      status: 0,
      stdout: expect.stringContaining('county-hospital.1'),
      stderr: '',
    });
    expect(await attempts()).toBe(before + 1);
    expect(await run('reindex', 'nobody')).toEqual(refused('hub: no source of nobody\n'));
  });
});
