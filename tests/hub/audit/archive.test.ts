import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SigningKey } from '../../../hub/access/authentication/signing-key.js';
import { checkDatabase } from '../../../hub/audit/proof/check-database.js';
import { exportAudit } from '../../../hub/audit/proof/export.js';
import { provesInclusion } from '../../../hub/audit/proof/merkle.js';
import { proveInclusion } from '../../../hub/audit/proof/proofs.js';
import { sealAll } from '../../../hub/audit/proof/seal.js';
import { auditKey } from '../../../hub/audit/proof/sealer.js';
import { verifyExport } from '../../../hub/audit/proof/verify-export.js';
import { raw } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { hub, workFolder } from '../commands/command-line.js';

describe('archiving a month of the audit', () => {
  let database: TestDatabase;
  let key: SigningKey;
  let folder: Awaited<ReturnType<typeof workFolder>>;
  const rows = <Row extends Record<string, unknown>>(text: string) => database.db.query<Row>(raw(text));
  const archive = (...args: string[]) =>
    hub(['audit', 'archive', ...args], {
      DATABASE_URL: database.url,
      HUB_SECRET: 'secret-of-the-tests-only',
      HUB_AUDIT_RETENTION_MONTHS: '6',
    });
  const count = async () => (await rows<{ n: number }>('select count(*)::int as n from audit_event'))[0]!.n;

  beforeAll(async () => {
    folder = await workFolder();
    database = await testDatabase();
    key = await auditKey(database.db, 'secret-of-the-tests-only');
    for (const [name, from, to] of [
      ['202501', '2025-01-01', '2025-02-01'],
      ['202502', '2025-02-01', '2025-03-01'],
    ])
      await rows(`create table audit_event_${name} partition of audit_event for values from ('${from}Z') to ('${to}Z')`);
    const old = (month: string, n: number) =>
      rows(`insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id, xact)
        select timestamptz '${month}-10Z' + n * interval '1 minute', 'rest', 'read', 'R', 0, 'Practitioner/li', 'old-' || n, null from generate_series(1, ${n}) n`);
    await old('2025-01', 30);
    await old('2025-02', 20);
    await old('2024-06', 3); // lies in the default partition
    await sealAll(database.db, key);
  });
  afterAll(async () => {
    await database.close();
    await folder.remove();
  });

  it('refuses what must be kept, what is not whole, and what is not there', async () => {
    const [{ month }] = (await rows<{ month: string }>(
      "select to_char(now() at time zone 'UTC' - interval '5 months', 'YYYY-MM') as month",
    )) as [{ month: string }];
    for (const [which, why] of [
      [month, 'must be kept'],
      ['2024-06', 'default partition'],
      ['2023-01', 'no partition'],
      ['2025-13', 'not a month'],
    ] as const)
      expect([which, await archive(which, '--to', folder.path)]).toEqual([
        which,
        { status: 1, stdout: '', stderr: expect.stringContaining(why) },
      ]);
    const shorter = await hub(['audit', 'archive', '2025-01', '--to', folder.path], {
      DATABASE_URL: database.url,
      HUB_AUDIT_RETENTION_MONTHS: '5',
    });
    expect(shorter).toMatchObject({ status: 1, stderr: expect.stringContaining('auditRetentionMonths') });
    expect(await count()).toBe(53);
  });

  it('drops nothing when a row is not the one that was sealed, or the file is there already', async () => {
    await writeFile(join(folder.path, 'audit-2025-02.ndjson'), 'kept');
    expect((await archive('2025-02', '--to', folder.path)).status).toBe(1);
    expect(await readFile(join(folder.path, 'audit-2025-02.ndjson'), 'utf8')).toBe('kept');
    const other = await workFolder();
    await rows('alter table audit_event disable trigger audit_event_append_only');
    await rows("update audit_event set outcome = 8 where request_id = 'old-7' and recorded < '2025-02-01Z'");
    expect(await archive('2025-01', '--to', other.path)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/changed, leaf 9: .*nothing was dropped/),
    });
    await rows("update audit_event set outcome = 0 where request_id = 'old-7' and recorded < '2025-02-01Z'");
    await rows('alter table audit_event enable trigger audit_event_append_only');
    await other.remove();
    expect(await count()).toBe(53);
  });

  it('leaves a file that proves itself, and a tree whose proofs still hold', async () => {
    const done = await archive('2025-01', '--to', folder.path);
    expect(done).toMatchObject({ status: 0, stdout: expect.stringContaining('30 rows of 2025-01') });
    const file = join(folder.path, 'audit-2025-01.ndjson');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const { faults, leaves } = await verifyExport(createReadStream(file, 'utf8'), { pinned: [key.kid] });
    expect([faults, leaves]).toEqual([[], 30]);
    expect(await rows("select to_regclass('audit_event_202501') as gone")).toEqual([{ gone: null }]);
    await sealAll(database.db, key);
    const whole = await verifyExport((await exportAudit(database.db))!, { pinned: [key.kid] });
    expect(whole).toMatchObject({ faults: [], archived: 30, leaves: 54, unsealed: 0 });
    expect(await checkDatabase(database.db, { pinned: [key.kid] })).toMatchObject({
      verification: { faults: [] },
      wrongNodes: 0,
    });
    const [event] = (await rows<{ micros: number; id: number }>(
      'select (extract(epoch from recorded) * 1000000)::bigint as micros, event_id as id from audit_leaf where index = 5',
    )) as [{ micros: number; id: number }];
    const proof = await proveInclusion(database.db, event);
    const path = proof!.path.map((h) => Buffer.from(h, 'hex'));
    expect(proof!.row).toBeNull();
    expect(provesInclusion(Buffer.from(proof!.hash, 'hex'), proof!.leaf, proof!.head.size, path, proof!.head.root)).toBe(true);
  });

  it('is itself on record, and can’t be told of rows that it did not move', async () => {
    expect(await rows("select detail from audit_event where subtype = 'audit-archive'")).toEqual([
      { detail: expect.stringMatching(/^2025-01: 30 rows, SHA-256 [0-9a-f]{64}$/) },
    ]);
    await rows('alter table audit_event disable trigger audit_event_append_only');
    await rows("delete from audit_event where recorded between '2025-02-01Z' and '2025-03-01Z' and request_id = 'old-3'");
    const { faults } = await verifyExport((await exportAudit(database.db))!, { pinned: [key.kid] });
    expect(faults).toMatchObject([{ kind: 'removed', leaf: 35 }]);
  });
});
