import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { SigningKey } from '../../../hub/access/authentication/signing-key.js';
import { insertEntries } from '../../../hub/audit/insert-entries.sql.js';
import { checkDatabase } from '../../../hub/audit/proof/check-database.js';
import { exportAudit } from '../../../hub/audit/proof/export.js';
import type { FaultKind } from '../../../hub/audit/proof/faults.js';
import { leafOfRow } from '../../../hub/audit/proof/leaf.js';
import { sealAll } from '../../../hub/audit/proof/seal.js';
import { auditKey } from '../../../hub/audit/proof/sealer.js';
import { sign } from '../../../hub/audit/proof/tree-head.js';
import { type VerifyOptions, verifyExport } from '../../../hub/audit/proof/verify-export.js';
import { type Database, openDatabase } from '../../../hub/store/database.js';
import { raw } from '../../../hub/store/sql.js';
import { hub, workFolder } from '../commands/command-line.js';
import { emptyDatabase, testProtection } from '../../support/test-database.js';

/** Two months of old rows, 40 each, as a hub had them before there was a tree; then three heads of 30 rows each. */
const OLD = 80;
const SIZE = OLD + 90;
const SECRET = 'secret-of-the-tests-only';

let original: { url: string; drop(): Promise<void> };
let key: SigningKey;
let witnessed: string;
let folder: Awaited<ReturnType<typeof workFolder>>;

beforeAll(async () => {
  folder = await workFolder();
  original = await emptyDatabase(process.env.TEST_DATABASE_TEMPLATE);
  const db = await openDatabase(original.url, { protection: testProtection() });
  key = await auditKey(db, SECRET);
  await db.query(
    raw("create table audit_event_202501 partition of audit_event for values from ('2025-01-01Z') to ('2025-02-01Z')"),
  );
  await db.query(
    raw("create table audit_event_202502 partition of audit_event for values from ('2025-02-01Z') to ('2025-03-01Z')"),
  );
  for (const month of ['2025-01-10Z', '2025-02-10Z'])
    await db.query(
      raw(`insert into audit_event (recorded, type, subtype, action, outcome, agent, patient_id, request_id, xact)
        select timestamptz '${month}' + n * interval '1 minute', 'rest', 'read', 'R', 0, 'Practitioner/li', 'p-' || n, 'old-' || n, null from generate_series(1, 40) n`),
    );
  await sealAll(db, key);
  for (const batch of [1, 2, 3]) {
    await db.query(
      insertEntries(
        Array.from({ length: 30 }, (_, i) => ({
          type: 'rest' as const,
          subtype: 'read',
          action: 'R' as const,
          outcome: 0 as const,
          agent: 'Practitioner/wang',
          agentName: '王医生',
          patientId: `p-${i}`,
          evidence: [{ kind: 'agreement', id: 'a-1', version: 3 }],
          requestId: `r-${batch}-${i}`,
        })),
      ),
    );
    await sealAll(db, key);
  }
  witnessed = (await db.query<{ jws: string }>(raw('select jws from audit_head order by tree_size desc limit 1')))[0]!.jws;
  await db.close();
});
afterAll(async () => {
  await original.drop();
  await folder.remove();
});

/** A copy of the database in the hands of its superuser: no trigger holds. */
async function tampered(
  work: (run: (text: string, values?: unknown[]) => Promise<Record<string, never>[]>, db: Database) => Promise<unknown>,
) {
  const copy = await emptyDatabase(new URL(original.url).pathname.slice(1));
  const db = await openDatabase(copy.url, { protection: testProtection(), poolSize: 2 });
  const client = await db.pool.connect();
  try {
    await client.query('set session_replication_role = replica');
    await work(async (text, values) => (await client.query(text, values)).rows, db);
  } finally {
    client.release(true);
  }
  return {
    db,
    url: copy.url,
    drop: async () => {
      await db.close();
      await copy.drop();
    },
  };
}

async function* text(of: string, piece = 997): AsyncGenerator<string> {
  for (let at = 0; at < of.length; at += piece) yield of.slice(at, at + piece);
}
async function exported(db: Database, range: Parameters<typeof exportAudit>[1] = {}): Promise<string> {
  let all = '';
  for await (const chunk of (await exportAudit(db, range))!) all += chunk;
  return all;
}

const trust = (): VerifyOptions => ({ pinned: [key.publicJwk], witnessed: [witnessed] });

/** Kinds of fault, each with the leaves that it names. */
type Found = Partial<Record<FaultKind, (number | undefined)[]>>;
const named = (faults: readonly { kind: FaultKind; leaf?: number }[]): Found => {
  const found: Found = {};
  for (const { kind, leaf } of faults) found[kind] = [...(found[kind] ?? []), leaf];
  return found;
};

const bySuperuser: {
  name: string;
  tamper: Parameters<typeof tampered>[0];
  finds: Found;
  options?: VerifyOptions;
}[] = [
  { name: 'nothing', tamper: async () => undefined, finds: {} },
  {
    name: 'changes a row',
    tamper: (run) => run("update audit_event set outcome = 8 where request_id in ('r-2-5', 'old-7')"),
    finds: { changed: [6, 46, OLD + 35] },
  },
  {
    name: 'changes a field inside of what a decision rested on',
    tamper: (run) =>
      run(`update audit_event set evidence = '[{"kind": "agreement", "id": "a-1", "version": 4}]' where request_id = 'r-1-0'`),
    finds: { changed: [OLD] },
  },
  {
    name: 'changes a row and its leaf',
    tamper: async (run, db) => {
      await run("set time zone 'UTC'");
      const [row] = await run(
        "update audit_event a set agent = 'Practitioner/nobody' where request_id = 'r-2-5' returning row_to_json(a) as json, id",
      );
      await run('update audit_leaf set hash = $1 where event_id = $2', [leafOfRow(JSON.parse(row!.json!)), row!.id]);
      await sealAll(db, key);
    },
    finds: { rewritten: [OLD + 30] },
  },
  {
    name: 'deletes rows',
    tamper: (run) => run("delete from audit_event where request_id in ('r-1-3', 'r-1-4')"),
    finds: { removed: [OLD + 3, OLD + 4] },
  },
  {
    name: 'deletes rows with their leaves',
    tamper: async (run) => {
      await run("delete from audit_event where request_id in ('r-1-3', 'r-1-4')");
      await run(`delete from audit_leaf where index in (${OLD + 3}, ${OLD + 4})`);
    },
    finds: { removed: [OLD + 3] },
  },
  {
    name: 'deletes a row with its leaf, and closes the gap with a row of his own',
    tamper: async (run) => {
      await run("delete from audit_event where request_id = 'r-1-3'");
      await run(`delete from audit_leaf where index = ${OLD + 3}`);
      await run(`update audit_leaf set index = index - 1 where index between ${OLD + 4} and ${SIZE - 1}`);
      await run("set time zone 'UTC'");
      const [row] =
        await run(`insert into audit_event as a (recorded, type, subtype, action, outcome, agent, request_id) select max(recorded) + interval '1 microsecond', 'rest', 'read', 'R', 0, 'x', 'x'
        from audit_event returning row_to_json(a) as json, id`);
      await run(`insert into audit_leaf select ${SIZE - 1}, recorded, id, $1 from audit_event where id = $2`, [
        leafOfRow(JSON.parse(row!.json!)),
        row!.id,
      ]);
    },
    finds: { rewritten: [OLD], 'back-dated': [OLD + 29, OLD + 59] },
  },
  {
    name: 'inserts a row among old ones',
    tamper: (run) =>
      run(
        `insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id, xact) values ('2025-01-10T00:05:30Z', 'rest', 'read', 'R', 0, 'x', 'x', null)`,
      ),
    finds: { inserted: [undefined] },
  },
  {
    name: 'inserts a row of yesterday, and has it sealed',
    tamper: async (run, db) => {
      await run(
        `insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id) values (now() - interval '1 day', 'rest', 'read', 'R', 0, 'x', 'x')`,
      );
      await sealAll(db, key);
    },
    finds: { 'back-dated': [SIZE] },
  },
  {
    name: 'inserts a row of tomorrow, and has it sealed',
    tamper: async (run, db) => {
      await run(
        `insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id) values (now() + interval '1 day', 'rest', 'read', 'R', 0, 'x', 'x')`,
      );
      await sealAll(db, key);
    },
    finds: { 'back-dated': [SIZE] },
  },
  {
    name: 'inserts an old row, and has it sealed as one from before the tree',
    tamper: async (run, db) => {
      await run(
        `insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id, xact) values ('2025-01-10T00:05:30Z', 'rest', 'read', 'R', 0, 'x', 'x', null)`,
      );
      await run("update audit_seal set sweeping = true, swept_recorded = '-infinity', swept_id = 0");
      expect(await sealAll(db, key)).toBe(1);
    },
    finds: { 'back-dated': [SIZE] },
  },
  {
    name: 'exchanges the leaves of two rows',
    tamper: async (run) => {
      const [a, b] = await run(`select event_id from audit_leaf where index in (${OLD + 2}, ${OLD + 9}) order by index`);
      await run(`update audit_leaf set event_id = -1 where index = ${OLD + 2}`);
      await run(`update audit_leaf set event_id = ${a!.event_id} where index = ${OLD + 9}`);
      await run(`update audit_leaf set event_id = ${b!.event_id} where index = ${OLD + 2}`);
    },
    finds: { reordered: [OLD + 2, OLD + 3, OLD + 9, OLD + 9] },
  },
  {
    name: 'exchanges the places of two leaves',
    tamper: async (run) => {
      await run(`update audit_leaf set index = -1 where index = ${OLD + 2}`);
      await run(`update audit_leaf set index = ${OLD + 2} where index = ${OLD + 9}`);
      await run(`update audit_leaf set index = ${OLD + 9} where index = -1`);
    },
    finds: { rewritten: [OLD], reordered: [OLD + 3, OLD + 9] },
  },
  {
    name: 'back-dates a row',
    tamper: (run) => run("update audit_event set recorded = recorded - interval '2 days' where request_id = 'r-3-1'"),
    finds: { 'back-dated': [OLD + 61] },
  },
  {
    name: 'back-dates a row with its leaf',
    tamper: async (run) => {
      await run("set time zone 'UTC'");
      const [row] = await run(
        "update audit_event a set recorded = recorded - interval '2 days' where request_id = 'r-3-1' returning row_to_json(a) as json, id",
      );
      await run("update audit_leaf set hash = $1, recorded = recorded - interval '2 days' where event_id = $2", [
        leafOfRow(JSON.parse(row!.json!)),
        row!.id,
      ]);
    },
    finds: { 'back-dated': [OLD + 61], rewritten: [OLD + 60] },
  },
  {
    name: 'exchanges the rows of two months',
    tamper: async (run) => {
      await run(
        `create temp table swapped as select id, recorded + case when recorded < '2025-02-01Z' then 1 else -1 end * interval '31 days' as recorded from audit_event where recorded < '2025-03-01Z'`,
      );
      await run('update audit_event a set recorded = s.recorded from swapped s where a.id = s.id');
    },
    finds: { 'back-dated': Array.from({ length: OLD }, (_, i) => i), 'swapped-partitions': [undefined] },
  },
  {
    name: 'exchanges two partitions under each other’s bounds',
    tamper: async (run) => {
      for (const month of ['202501', '202502']) await run(`alter table audit_event detach partition audit_event_${month}`);
      for (const [month, from, to] of [
        ['202501', '2025-02-01', '2025-03-01'],
        ['202502', '2025-01-01', '2025-02-01'],
      ]) {
        // a constraint that is believed without a look at the rows
        await run(
          `alter table audit_event_${month} add constraint bounds check (recorded is not null and recorded >= '${from}Z' and recorded < '${to}Z') not valid`,
        );
        await run(`update pg_constraint set convalidated = true where conname = 'bounds'`);
        await run(`alter table audit_event attach partition audit_event_${month} for values from ('${from}Z') to ('${to}Z')`);
      }
    },
    finds: { 'swapped-partitions': [undefined, ...Array.from({ length: OLD }, (_, i) => i)] },
  },
  {
    name: 'signs anew with a key of his own',
    tamper: async (run, db) => {
      await run('delete from hub_secret where name = $1', ['audit-signing-key']);
      await run('delete from audit_key');
      const own = await auditKey(db, 'secret-of-an-attacker');
      await run("update audit_event set agent = 'Practitioner/nobody' where request_id = 'r-3-29'");
      await run('delete from audit_leaf; delete from audit_node; delete from audit_head');
      await run("update audit_seal set watermark = 0, sweeping = true, swept_recorded = '-infinity'");
      await sealAll(db, own);
    },
    finds: { 'other-key': [undefined] },
  },
  {
    name: 'replaces one head by one of another key',
    tamper: async (run, db) => {
      const [{ root, size }] = (await run(
        'select encode(root, $1) as root, tree_size as size from audit_head order by tree_size offset 1 limit 1',
        ['hex'],
      )) as unknown as [{ root: string; size: number }];
      const own = await auditKey(db, SECRET).then(() => otherKey(db));
      const jws = await sign(own, 'audit-tree-head', {
        tree_size: size,
        root_hash: root,
        timestamp: '2026-01-01T00:00:00.000000Z',
      });
      await run('update audit_head set jws = $1 where tree_size = $2', [jws, size]);
    },
    finds: { 'other-key': [OLD + 29] },
  },
  {
    name: 'changes what a head says',
    tamper: (run) =>
      run(
        `update audit_head set jws = overlay(jws placing case substr(jws, length(jws) - 20, 1) when 'A' then 'B' else 'A' end from length(jws) - 20) where tree_size = ${OLD + 30}`,
      ),
    finds: { signature: [OLD + 29] },
  },
  {
    name: 'cuts the tail off, heads included',
    tamper: async (run) => {
      await run(`delete from audit_event a using audit_leaf l where l.event_id = a.id and l.index >= ${OLD + 30}`);
      await run(`delete from audit_leaf where index >= ${OLD + 30}`);
      await run(`delete from audit_head where tree_size > ${OLD + 30}`);
    },
    finds: { truncated: [OLD + 30] },
  },
  {
    name: 'cuts the tail off and lets other rows grow in its place',
    tamper: async (run, db) => {
      await run(`delete from audit_event a using audit_leaf l where l.event_id = a.id and l.index >= ${OLD + 30}`);
      await run(`delete from audit_leaf where index >= ${OLD + 30}`);
      await run(`delete from audit_head where tree_size > ${OLD + 30}`);
      await run(
        `insert into audit_event (recorded, type, subtype, action, outcome, agent, request_id) select now(), 'rest', 'read', 'R', 0, 'x', n::text from generate_series(1, 90) n`,
      );
      await sealAll(db, key);
    },
    finds: { rewritten: [OLD + 30] },
  },
];

async function otherKey(db: Database): Promise<SigningKey> {
  await db.query(raw("delete from hub_secret where name = 'audit-signing-key'"));
  const { loadSigningKey } = await import('../../../hub/access/authentication/signing-key.js');
  return loadSigningKey(db, 'another', 'audit-signing-key');
}

describe('the verifier, on a database whose superuser', () => {
  it.each(bySuperuser)('$name', async ({ tamper, finds, options }) => {
    const { db, drop } = await tampered(tamper);
    try {
      const file = await exported(db);
      const offline = await verifyExport(text(file), options ?? trust());
      expect(named(offline.faults)).toEqual(finds);
      const online = await checkDatabase(db, options ?? trust());
      expect(named(online!.verification.faults)).toEqual(finds);
    } finally {
      await drop();
    }
  });
});

describe('the verifier, on a file that', () => {
  let file: string;
  let lines: string[];
  const found = async (changed: readonly string[], options = trust()) =>
    named((await verifyExport(text(changed.map((l) => `${l}\n`).join('')), options)).faults);
  /** Place of a leaf's line: the header and the heads before it come first. */
  const lineOf = (leaf: number) => lines.findIndex((l) => l.startsWith(`{"leaf":${leaf},`));
  const changed = (index: number, change: (line: Record<string, never>) => object) =>
    lines.map((l, i) => (i === index ? JSON.stringify(change(JSON.parse(l))) : l));

  beforeAll(async () => {
    const db = await openDatabase(original.url, { protection: testProtection() });
    file = await exported(db).finally(() => db.close());
    lines = file.trimEnd().split('\n');
  });

  it('was left alone', async () => {
    expect(await found(lines)).toEqual({});
    const { leaves, heads, unsealed } = await verifyExport(text(file, 7), trust());
    expect({ leaves, heads, unsealed }).toEqual({ leaves: SIZE, heads: 4, unsealed: 0 });
  });

  it('lacks a line, has it twice, or in another place', async () => {
    const at = lineOf(OLD + 4);
    expect(await found(lines.toSpliced(at, 1))).toEqual({ removed: [OLD + 4] });
    expect(await found(lines.toSpliced(at, 10))).toEqual({ removed: [OLD + 4] });
    expect(await found(lines.toSpliced(lineOf(OLD + 29), 1))).toEqual({ removed: [OLD + 29] });
    expect(await found(lines.toSpliced(at, 0, lines[at]!))).toEqual({ inserted: [OLD + 4] });
    expect(await found(lines.toSpliced(at, 2, lines[at + 1]!, lines[at]!))).toMatchObject({ reordered: [OLD + 4] });
  });

  it('lost its end, its heads or its beginning', async () => {
    expect(await found(lines.slice(0, -1))).toEqual({ truncated: [SIZE] });
    expect(await found(lines.slice(0, 20))).toEqual({ truncated: [19] });
    expect(await found(lines.slice(1))).toEqual({ malformed: [undefined] });
    expect(await found([])).toEqual({ malformed: [undefined] });
    expect(await found(lines.with(3, '{"leaf":2'))).toEqual({ malformed: [undefined], removed: [2] });
  });

  it('claims an archive that was never signed for', async () => {
    const at = lineOf(5);
    expect(await found(changed(at, ({ row, ...rest }) => ({ ...rest, archived: '2025-01' })))).toEqual({ removed: [5] });
  });

  it('was changed in any value of any row', async () => {
    const leaves = lines.map((l, i) => [l, i] as const).filter(([l]) => l.startsWith('{"leaf"'));
    await fc.assert(
      fc.asyncProperty(fc.nat(leaves.length - 1), fc.nat(), fc.string({ minLength: 1 }), async (n, field, value) => {
        const [line, at] = leaves[n]!;
        const { row } = JSON.parse(line);
        const names = Object.keys(row);
        const name = names[field % names.length]!;
        fc.pre(JSON.stringify(row[name]) !== JSON.stringify(value));
        const faults = await found(changed(at, (l) => ({ ...l, row: { ...row, [name]: value } })));
        expect(Object.values(faults).flat()).toEqual([n]);
      }),
      { numRuns: 60 },
    );
  });

  it('holds a part: proved against the head, and against a head that was witnessed before or after it', async () => {
    const db = await openDatabase(original.url, { protection: testProtection() });
    try {
      const heads = (
        await db.query<{ jws: string; size: number }>(raw('select jws, tree_size as size from audit_head order by 2'))
      ).map((h) => h);
      await fc.assert(
        fc.asyncProperty(fc.nat(SIZE), fc.nat(SIZE), fc.nat(3), async (a, b, witness) => {
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          const { jws, size } = heads[witness]!;
          const part = await exported(db, { from, to, witnessed: [size] });
          const options = { pinned: [key.kid], witnessed: [jws] };
          const { faults, leaves } = await verifyExport(text(part), options);
          expect([faults, leaves]).toEqual([[], to - from]);
          const bent = part.replace(/"hash":"(.)/, (_, c) => `"hash":"${c === '0' ? '1' : '0'}`);
          if (to > from) expect((await verifyExport(text(bent), options)).faults.length).toBeGreaterThan(0);
        }),
        { numRuns: 25 },
      );
    } finally {
      await db.close();
    }
  });

  it('is checked by the command line, which names the fault and exits with 1', async () => {
    const good = await folder.write('good.ndjson', file);
    const bad = join(folder.path, 'bad.ndjson');
    await writeFile(
      bad,
      changed(lineOf(OLD + 1), (l) => ({ ...l, row: { ...(l.row as unknown as object), outcome: 8 } })).join('\n'),
    );
    const pinned = await folder.write('pinned.jwk', JSON.stringify(key.publicJwk));
    const head = await folder.write('witnessed.jws', `${witnessed}\n`);
    const ok = await hub(['audit', 'verify', good, '--key', pinned, '--head', head]);
    expect(ok).toMatchObject({ status: 0, stdout: expect.stringContaining(`(pinned)\n${SIZE} leaves, 4 heads`) });
    expect(ok.stdout).toContain('ok: every row is the one that was sealed');
    expect((await hub(['audit', 'verify', good])).stdout).toContain('NOT PINNED');
    const wrong = await hub(['audit', 'verify', bad, '--key', key.kid]);
    expect(wrong).toMatchObject({ status: 1, stdout: expect.stringMatching(/FAULT {2}changed +leaf 81, AuditEvent\/\d+-\d+: /) });
    expect(await hub(['audit', 'verify', good, '--key', 'A'.repeat(43)])).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('another key'),
    });
    expect(await hub(['audit', 'verify', join(folder.path, 'none')])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('no file'),
    });
  });
});
