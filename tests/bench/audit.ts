import { createReadStream, readFileSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { checkDatabase } from '../../hub/audit/proof/check-database.js';
import { exportAudit } from '../../hub/audit/proof/export.js';
import { proveInclusion } from '../../hub/audit/proof/proofs.js';
import { sealAll } from '../../hub/audit/proof/seal.js';
import { auditKey } from '../../hub/audit/proof/sealer.js';
import { verifyExport } from '../../hub/audit/proof/verify-export.js';
import { openAudit } from '../../hub/audit/record.js';
import type { AuditEntry } from '../../hub/audit/vocabulary.js';
import { type Database, openDatabase } from '../../hub/store/database.js';
import { removeEmbeddedPostgres, startEmbeddedPostgres } from '../../hub/store/embedded.js';
import { createProtection } from '../../hub/store/protection.js';
import { raw } from '../../hub/store/sql.js';
import { measure } from './load.js';

const ROWS = Number(process.env.BENCH_AUDIT_ROWS ?? 200_000);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const SECRET = 'secret-of-the-bench';

/** What the proof of the audit costs its writer, and how fast rows are sealed, exported and verified. */
export async function audit(): Promise<void> {
  const dataDir = '.data/bench-audit';
  await removeEmbeddedPostgres(dataDir).catch(() => undefined);
  const postgres = await startEmbeddedPostgres({ dataDir });
  const db = await openDatabase(postgres.url, { protection: createProtection({ secret: SECRET }) });
  try {
    await measureWriter(db, postgres.url);
    await measureProof(db, postgres.url, join(dataDir, 'audit.ndjson'));
  } finally {
    await db.close();
    await postgres.stop();
    await removeEmbeddedPostgres(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

let n = 0;
const entry = (): AuditEntry => ({
  type: 'rest',
  subtype: 'read',
  action: 'R',
  outcome: 0,
  agent: 'Practitioner/0198c0de-0000-7000-8000-000000000001',
  agentName: '王医生',
  organizationId: 'hospital-a',
  role: 'physician',
  purpose: 'TREAT',
  clientId: 'console',
  patientId: `0198c0de-0000-7000-8000-${String(n++ % 1e6).padStart(12, '0')}`,
  entity: [`ImagingStudy/0198c0de-0000-7000-8000-${String(n).padStart(12, '0')}`],
  custodianId: 'hospital-b',
  basis: 'consortium',
  rule: 'physician-consortium',
  evidence: [{ kind: 'registration', id: 'p-1', version: 1 }],
  requestId: `1795000000000:bench:${n}`,
  address: '192.0.2.1',
});

/** By turns with what the tree needs of the table (a column's default and its index) and without; processor time of the database, so that other work on the machine counts less. */
async function measureWriter(db: Database, url: string): Promise<void> {
  const change = {
    without: 'drop index if exists audit_event_by_xact; alter table audit_event alter column xact drop default',
    with: 'create index if not exists audit_event_by_xact on audit_event using brin (xact) with (autosummarize = on); alter table audit_event alter column xact set default pg_current_xact_id()::text::bigint',
  };
  const cost = { with: [] as number[], without: [] as number[] };
  for (const kind of ['with', 'without', 'without', 'with', 'with', 'without', 'without', 'with'] as const) {
    await db.pool.query(change[kind]);
    const writer = await openAudit(db, url);
    await writer.commit([entry()]);
    const before = await writerTime(db);
    const { perSecond } = await measure(() => writer.commit(Array.from({ length: 20 }, entry)), {
      concurrency: 16,
      seconds: SECONDS,
    });
    const { micros, rows } = await writerTime(db);
    await writer.close();
    cost[kind].push((micros - before.micros) / (rows - before.rows));
    console.log(
      `writer ${kind} the tree's column: ${Math.round(perSecond * 20)} rows/s, ${cost[kind].at(-1)?.toFixed(1)} us of the database a row`,
    );
  }
  await db.pool.query(change.with);
  const least = { with: Math.min(...cost.with), without: Math.min(...cost.without) };
  console.log(`database time of a written row, with / without: ${(least.with / least.without).toFixed(3)}`);
}

/** Processor time of the connection that commits the audit (Linux), and the rows that there are. */
async function writerTime(db: Database): Promise<{ micros: number; rows: number }> {
  const { rows } = await db.pool.query(
    "select pid, (select count(*) from audit_event) as n from pg_stat_activity where application_name = 'hub-audit' and datname = current_database()",
  );
  return { micros: Number(readFileSync(`/proc/${rows[0].pid}/schedstat`, 'utf8').split(' ')[0]) / 1000, rows: rows[0].n };
}

async function measureProof(db: Database, url: string, file: string): Promise<void> {
  const writer = await openAudit(db, url);
  const key = await auditKey(db, SECRET);
  await sealAll(db, key);
  for (let left = ROWS; left > 0; left -= 500) await writer.commit(Array.from({ length: Math.min(500, left) }, entry));
  await writer.close();
  await timed('sealing', async () => sealAll(db, key));
  await timed('export to a file', async () => {
    const handle = await open(file, 'w');
    for await (const chunk of (await exportAudit(db))!) await handle.write(chunk);
    await handle.close();
    return leaves(db);
  });
  console.log(`bytes a row in the file: ${Math.round(statSync(file).size / (await leaves(db)))}`);
  await timed('verification of the file', async () => {
    const found = await verifyExport(createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 }), { pinned: [key.kid] });
    if (found.faults.length > 0) throw new Error(`the audit of the bench has faults: ${JSON.stringify(found.faults[0])}`);
    return found.leaves;
  });
  await timed('check of the database', async () => (await checkDatabase(db, {}))?.verification.leaves ?? 0);
  const [last] = (await db.query<{ micros: number; id: number }>(
    raw('select (extract(epoch from recorded) * 1000000)::bigint as micros, event_id as id from audit_leaf where index = 4321'),
  )) as [{ micros: number; id: number }];
  const proofs = await measure(async () => void (await proveInclusion(db, last)), { concurrency: 1, seconds: 2 });
  console.log(`inclusion proof: ${proofs.p50.toFixed(1)} ms p50`);
  const { rows } = await db.pool.query(
    "select (pg_total_relation_size('audit_leaf') + pg_total_relation_size('audit_node')) / count(*)::float8 as bytes from audit_leaf",
  );
  console.log(
    `stored bytes of the tree a row: ${Math.round(rows[0].bytes)}; memory of this process: ${Math.round(process.memoryUsage.rss() / 1e6)} MB`,
  );
}

const leaves = async (db: Database): Promise<number> =>
  (await db.query<{ n: number }>(raw('select count(*) as n from audit_leaf')))[0]?.n ?? 0;

async function timed(what: string, work: () => Promise<number>): Promise<void> {
  const start = performance.now();
  const before = process.cpuUsage();
  const rows = await work();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  const own = `${((user + system) / rows).toFixed(1)} us of this process a row`;
  console.log(`${what}: ${Math.round(rows / seconds)} rows/s (${rows} rows in ${seconds.toFixed(1)} s), ${own}`);
}
