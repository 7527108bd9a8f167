import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { createHash } from 'node:crypto';
import type { SigningKey } from '../../../hub/access/authentication/signing-key.js';
import { leafOfRow } from '../../../hub/audit/proof/leaf.js';
import { Frontier } from '../../../hub/audit/proof/merkle.js';
import { sealAll, sealBatch } from '../../../hub/audit/proof/seal.js';
import { auditKey } from '../../../hub/audit/proof/sealer.js';
import { keyRing, openStatement } from '../../../hub/audit/proof/tree-head.js';
import { insertEntries } from '../../../hub/audit/insert-entries.sql.js';
import type { AuditEntry } from '../../../hub/audit/vocabulary.js';
import { openDatabase } from '../../../hub/store/database.js';
import { raw } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const entry = (requestId: string): AuditEntry => ({
  type: 'rest',
  subtype: 'read',
  action: 'R',
  outcome: 0,
  agent: 'Practitioner/wang',
  requestId,
  patientId: 'p',
  evidence: [{ kind: 'agreement', id: 'a-1' }],
});
const entries = (count: number, prefix: string) => Array.from({ length: count }, (_, i) => entry(`${prefix}-${i}`));

describe('sealing', () => {
  let database: TestDatabase;
  let key: SigningKey;
  const others: pg.Client[] = [];
  beforeEach(async () => {
    database = await testDatabase();
    key = await auditKey(database.db, 'secret-of-the-tests-only');
  });
  afterEach(async () => {
    await Promise.all(others.splice(0).map((client) => client.end()));
    await database.close();
  });

  const write = (count: number, prefix = 'r') => database.db.query(insertEntries(entries(count, prefix)));
  const another = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    others.push(client);
    return client;
  };
  const rows = <Row extends pg.QueryResultRow>(text: string) => database.db.query<Row>(raw(text));
  /** The tree by the rows themselves: every row is in it once, hashes and root are those of the stored rows. */
  const assertWhole = async (): Promise<number> => {
    const leaves = await rows<{ index: number; hash: Buffer; json: string | null }>(
      `select l.index, l.hash, row_to_json(a) as json from audit_leaf l left join audit_event a on a.recorded = l.recorded and a.id = l.event_id order by l.index`,
    );
    const tree = new Frontier();
    const heads = new Map(
      (await rows<{ tree_size: number; root: Buffer; jws: string }>('select * from audit_head')).map((h) => [h.tree_size, h]),
    );
    for (const [i, { index, hash, json }] of leaves.entries()) {
      expect(index).toBe(i);
      expect(hash).toEqual(leafOfRow(JSON.parse(json!)));
      tree.push(hash);
      const head = heads.get(tree.size);
      if (head) expect(head.root).toEqual(tree.root());
    }
    const [{ n } = { n: -1 }] = await rows<{ n: number }>('select count(*) as n from audit_event');
    expect(leaves.length).toBe(n);
    if (n > 0) expect(heads.has(n)).toBe(true);
    return n;
  };

  it('puts every row into the tree once, in heads that are signed and grow', async () => {
    await write(700);
    expect(await sealAll(database.db, key, { limit: 300 })).toBe(700);
    expect(await sealAll(database.db, key)).toBe(0);
    await write(5);
    expect(await sealAll(database.db, key)).toBe(5);
    expect(await assertWhole()).toBe(705);
    const heads = await rows<{ tree_size: number; jws: string; root: Buffer }>('select * from audit_head order by tree_size');
    expect(heads.map((h) => h.tree_size)).toEqual([300, 600, 700, 705]);
    const ring = await keyRing([key.publicJwk]);
    for (const head of heads)
      expect(await openStatement(head.jws, 'audit-tree-head', ring)).toMatchObject({
        tree_size: head.tree_size,
        root_hash: head.root.toString('hex'),
      });
  });

  it('hashes what is documented, in whatever zone the server is: SHA-256 of 0x00 and canonical JSON without null and false', async () => {
    await write(1);
    await rows(`alter database "${new URL(database.url).pathname.slice(1)}" set time zone 'Asia/Shanghai'`);
    const elsewhere = await openDatabase(database.url, { protection: database.db.protection, poolSize: 1 });
    await sealAll(elsewhere, key).finally(() => elsewhere.close());
    const [row] = await rows<{ hash: Buffer; id: number; recorded: string; xact: number }>(
      `select l.hash, a.id, to_char(recorded at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as recorded, a.xact from audit_leaf l join audit_event a using (recorded)`,
    );
    const text = `{"action":"R","agent":"Practitioner/wang","entity":[],"evidence":[{"id":"a-1","kind":"agreement"}],"id":${row?.id},"outcome":0,"patient_id":"p","recorded":"${row?.recorded.replace(/0+$/, '')}+00:00","request_id":"r-0","subtype":"read","type":"rest","xact":${row?.xact}}`;
    expect(row?.hash).toEqual(createHash('sha256').update(`\0${text}`).digest());
  });

  it('never passes over a row whose transaction commits late, and does not wait for it either', async () => {
    const late = await another();
    await late.query('begin');
    const { text, values } = insertEntries(entries(3, 'late')).toQuery(database.db.protection);
    await late.query(text, values);
    await write(10, 'early');
    expect(await sealAll(database.db, key)).toBe(10);
    await write(10, 'between');
    expect(await sealAll(database.db, key)).toBe(10);
    await late.query('commit');
    await write(1, 'after');
    expect(await sealAll(database.db, key)).toBe(4);
    expect(await assertWhole()).toBe(24);
  });

  it('takes each row once whatever order transactions begin, write and end in', async () => {
    const writers = await Promise.all([another(), another(), another()]);
    const step = fc.tuple(fc.nat({ max: 2 }), fc.constantFrom('write', 'commit', 'rollback', 'seal', 'break'));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const open = new Set<pg.Client>();
        for (const [i, what] of steps) {
          const writer = writers[i]!;
          if (what === 'seal') await sealAll(database.db, key, { limit: 4 });
          else if (what === 'break') await broken();
          else if (what === 'write') {
            if (!open.has(writer)) await writer.query('begin');
            open.add(writer);
            const { text, values } = insertEntries(entries(3, 'x')).toQuery(database.db.protection);
            await writer.query(text, values);
          } else {
            await writer.query(what);
            open.delete(writer);
          }
        }
        for (const writer of open) await writer.query('commit');
        await sealAll(database.db, key, { limit: 4 });
        await assertWhole();
      }),
      { numRuns: 25 },
    );
  });

  /** A sealing whose process dies at its very end. */
  const broken = () =>
    expect(
      sealBatch(
        {
          ...database.db,
          transaction: (work) =>
            database.db.transaction(async (tx) => {
              await work(tx);
              throw new Error('killed');
            }),
        },
        key,
      ),
    ).rejects.toThrow('killed');

  it('is done by one process at a time', async () => {
    await write(2000);
    const counts = await Promise.all(Array.from({ length: 4 }, () => sealAll(database.db, key, { limit: 100, wait: true })));
    expect(counts.reduce((a, b) => a + b)).toBe(2000);
    const holder = await another();
    await holder.query('begin');
    await holder.query('select pg_advisory_xact_lock(7390213)');
    expect(await sealBatch(database.db, key)).toBeUndefined();
    await holder.query('rollback');
    expect(await assertWhole()).toBe(2000);
  });

  it('takes rows that were there before the tree, oldest first', async () => {
    await rows('alter table audit_event alter column xact drop default');
    await write(250, 'old');
    await rows('alter table audit_event alter column xact set default pg_current_xact_id()::text::bigint');
    await write(5, 'new');
    expect(await sealAll(database.db, key, { limit: 100 })).toBe(255);
    expect(await assertWhole()).toBe(255);
    const ring = await keyRing([key.publicJwk]);
    const heads = await rows<{ jws: string }>('select jws from audit_head order by tree_size');
    const swept = await Promise.all(heads.map(async ({ jws }) => (await openStatement(jws, 'audit-tree-head', ring)).swept));
    expect(swept).toEqual([true, true, true, undefined]);
  });

  it('goes on in another cluster, where transaction ids begin anew', async () => {
    await write(20, 'sealed before');
    await sealAll(database.db, key);
    await write(7, 'not sealed before');
    // as restored: another cluster, whose transaction ids are far behind those of the rows
    await rows('alter table audit_event disable trigger audit_event_append_only');
    await rows('update audit_event set xact = xact + 1000000000');
    await rows("update audit_seal set cluster = 'elsewhere', watermark = watermark + 1000000000");
    await rows('alter table audit_event enable trigger audit_event_append_only');
    await write(4, 'written before the first sealing');
    expect(await sealAll(database.db, key, { limit: 3 })).toBe(11);
    await write(5, 'after');
    const late = await another();
    await late.query('begin');
    const { text, values } = insertEntries(entries(2, 'late')).toQuery(database.db.protection);
    await late.query(text, values);
    expect(await sealAll(database.db, key, { limit: 3 })).toBe(5);
    await late.query('commit');
    expect(await sealAll(database.db, key)).toBe(2);
    expect(
      await rows('select count(*)::int as n, count(distinct (recorded, event_id))::int as d, max(index) as last from audit_leaf'),
    ).toEqual([{ n: 38, d: 38, last: 37 }]);
  });

  it('leaves leaves, nodes, heads, keys and archives append-only', async () => {
    await write(300);
    await sealAll(database.db, key);
    await rows("insert into audit_archive values ('2020-01', 0, 1, '')");
    const tables = { audit_leaf: 'hash', audit_node: 'hash', audit_head: 'jws', audit_key: 'jwk', audit_archive: 'jws' };
    for (const [table, column] of Object.entries(tables))
      for (const change of [`update ${table} set ${column} = null`, `delete from ${table}`, `truncate ${table}`])
        await expect(rows(change)).rejects.toThrow(`${table} is append-only`);
  });
});
