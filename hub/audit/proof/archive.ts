import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { SigningKey } from '../../access/authentication/signing-key.js';
import type { Database, Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import { insertEntries } from '../insert-entries.sql.js';
import { COMMAND_LINE } from '../vocabulary.js';
import { exportAudit } from './export.js';
import { leavesOfTime } from './export.sql.js';
import { sealAll } from './seal.js';
import { NOW, sign } from './tree-head.js';
import { verifyExport } from './verify-export.js';

export interface ArchiveRequest {
  /** `YYYY-MM`, UTC. */
  month: string;
  /** Months that must have passed since its end. */
  retention: number;
  /** Writes the export and returns the file's path, once it is on the disk. */
  write: (chunks: AsyncIterable<string>) => Promise<string>;
}

export interface Archived {
  file: string;
  rows: number;
  sha256: string;
}

/**
 * Moves a month of the audit out of the database: exports it with its heads and proofs, verifies the file that was written, signs what was
 * moved, and only then drops the partition, whole. Leaves, nodes and heads stay, so that every proof still holds.
 * @throws Error that says why not; then nothing was dropped.
 */
export async function archiveMonth(
  db: Database,
  key: SigningKey,
  { month, retention, write }: ArchiveRequest,
): Promise<Archived> {
  const partition = await partitionOf(db, month, retention);
  await sealAll(db, key, { wait: true });
  const bounds = boundsOf(month);
  const [range] = await db.query<{ from: number | null; to: number | null }>(leavesOfTime(bounds.from, bounds.until));
  if (range?.from == null || range.to == null) throw new Error(`nothing was recorded in ${month}`);
  const [from, to] = [range.from, range.to];
  const chunks = await exportAudit(db, { from, to });
  const file = await write(chunks as AsyncIterable<string>);
  const inFile = await verified(file, key, month);
  const sha256 = await digestOf(file);
  await db.transaction(async (tx) => {
    await tx.query(raw("set local lock_timeout = '10s'"));
    await tx.query(raw(`lock table ${partition} in access exclusive mode`));
    const [{ rows }] = (await tx.query<{ rows: number }>(raw(`select count(*) as rows from ${partition}`))) as [{ rows: number }];
    if (rows !== inFile) throw new Error(`the partition holds ${rows} rows and the file ${inFile}: nothing was dropped`);
    await tx.query(await remembered(tx, key, { month, rows, from, to, sha256 }));
    await tx.query(insertEntries([entryOf(`${month}: ${rows} rows, SHA-256 ${sha256}`)]));
    await tx.query(raw(`alter table audit_event detach partition ${partition}`));
    await tx.query(raw(`drop table ${partition}`));
  });
  return { file, rows: inFile, sha256 };
}

/** @returns the name of the partition, of digits alone: it may stand in a statement */
async function partitionOf(db: Database, month: string, retention: number): Promise<string> {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) throw new Error(`'${month}' is not a month (YYYY-MM)`);
  const name = `audit_event_${month.replace('-', '')}`;
  const [found] = await db.query<{ exists: boolean; old: boolean; elsewhere: boolean }>(sql`
    select to_regclass(${name}) is not null as exists,
      ${boundsOf(month).until}::timestamptz + ${retention} * interval '1 month' <= clock_timestamp() as old,
      exists (select from audit_event_default where recorded >= ${boundsOf(month).from}::timestamptz and recorded < ${boundsOf(month).until}::timestamptz) as elsewhere`);
  if (!found?.old) throw new Error(`${month} must be kept: it ended less than ${retention} months ago (auditRetentionMonths)`);
  if (found.elsewhere) throw new Error(`rows of ${month} lie in the default partition: only whole partitions are moved`);
  if (!found.exists) throw new Error(`there is no partition of ${month}`);
  return name;
}

function boundsOf(month: string): { from: string; until: string } {
  const [year = 0, number = 0] = month.split('-').map(Number);
  return { from: `${month}-01T00:00:00Z`, until: new Date(Date.UTC(year, number, 1)).toISOString() };
}

/** Reads the written file back. @returns how many rows of the month it holds @throws Error when anything in it is wrong */
async function verified(file: string, key: SigningKey, month: string): Promise<number> {
  let rows = 0;
  const counted = async function* () {
    let rest = '';
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 }) as AsyncIterable<string>) {
      yield chunk;
      const texts = (rest + chunk).split('\n');
      rest = texts.pop() as string;
      for (const text of texts) if (text.startsWith('{"leaf"') && isRowOf(text, month)) rows++;
    }
  };
  const { faults } = await verifyExport(counted(), { pinned: [key.publicJwk] });
  const [first] = faults;
  if (first)
    throw new Error(`${file} does not verify (${first.kind}, leaf ${first.leaf ?? '-'}: ${first.text}); nothing was dropped`);
  return rows;
}

const isRowOf = (text: string, month: string): boolean => {
  const { row } = JSON.parse(text) as { row?: { recorded: string } };
  return row?.recorded.startsWith(month) ?? false;
};

async function digestOf(file: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(file)) digest.update(chunk as Buffer);
  return digest.digest('hex');
}

async function remembered(
  tx: Queryable,
  key: SigningKey,
  what: { month: string; rows: number; from: number; to: number; sha256: string },
): Promise<Sql> {
  const [{ timestamp }] = (await tx.query<{ timestamp: string }>(raw(`select ${NOW} as timestamp`))) as [{ timestamp: string }];
  const jws = await sign(key, 'audit-archive', { ...what, timestamp });
  return sql`insert into audit_archive (month, first_leaf, end_leaf, jws) values (${what.month}, ${what.from}::bigint, ${what.to}::bigint, ${jws})`;
}

const entryOf = (detail: string) => ({
  type: 'export' as const,
  subtype: 'audit-archive',
  action: 'D' as const,
  outcome: 0 as const,
  ...COMMAND_LINE,
  detail,
});
