import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { archiveMonth } from '../audit/proof/archive.js';
import { checkDatabase } from '../audit/proof/check-database.js';
import { exportAudit } from '../audit/proof/export.js';
import { newestHead, type StoredHead } from '../audit/proof/export.sql.js';
import { sealAll } from '../audit/proof/seal.js';
import { auditKey } from '../audit/proof/sealer.js';
import { type Verification, type VerifyOptions, verifyExport } from '../audit/proof/verify-export.js';
import { type AuditEntry, COMMAND_LINE } from '../audit/vocabulary.js';
import { secretsOf } from '../config.js';
import type { Database } from '../store/database.js';
import { withDatabase } from './operate.js';

interface TrustOptions {
  /** Files with a JWK or a JWK Set, or thumbprints. */
  key?: string[];
  /** Files with a signed head, or the heads themselves. */
  head?: string[];
  tolerance?: string;
}

/** `hub audit verify FILE`: checks an export with nothing but the file. Exit status 1 when anything is wrong. */
export async function verifyFile(file: string, options: TrustOptions): Promise<void> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  const chunks = createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 });
  report(await verifyExport(chunks, trustOf(options)), options);
}

/** `hub audit check`: the same for the database that the configuration names. */
export async function checkAudit(options: TrustOptions): Promise<void> {
  const checked = await withDatabase((db) => checkDatabase(db, trustOf(options)));
  if (!checked) return console.log('nothing is sealed yet');
  report(checked.verification, options);
  if (checked.wrongNodes === 0) return;
  console.log(`FAULT  ${checked.wrongNodes} stored nodes of the tree are not what its leaves make`);
  process.exitCode = 1;
}

/** `hub audit head`: seals what is there and prints the newest signed head, for a witness outside. */
export async function printHead(): Promise<void> {
  const head = await withDatabase(async (db, config) => {
    await sealAll(db, await auditKey(db, secretsOf(config)), { wait: true });
    return (await db.query<StoredHead>(newestHead))[0];
  });
  if (!head) throw new Error('nothing is sealed yet');
  console.log(head.jws);
}

/** `hub audit export FILE`: leaves [from, to) with what proves them; on record before the first line is written. */
export async function exportToFile(file: string, options: { from?: string; to?: string; witnessed?: string[] }): Promise<void> {
  const [from, to] = [numberOf(options.from), numberOf(options.to)];
  const size = await withDatabase(async (db, config) => {
    await onRecord(db, { subtype: 'audit-export', action: 'R', query: `hub audit export ${from ?? 0} ${to ?? ''}`.trim() });
    await sealAll(db, await auditKey(db, secretsOf(config)), { wait: true });
    const chunks = await exportAudit(db, { from, to, witnessed: options.witnessed?.map((size) => numberOf(size) ?? 0) });
    return chunks ? writeFile(file, chunks) : 0;
  });
  console.log(`${file}: ${size} bytes`);
}

/** `hub audit archive YYYY-MM --to FOLDER`: moves a month out of the database into a file that proves itself. */
export async function archive(month: string, options: { to: string }): Promise<void> {
  const { file, rows, sha256 } = await withDatabase(async (db, config) =>
    archiveMonth(db, await auditKey(db, secretsOf(config)), {
      month,
      retention: config.auditRetentionMonths,
      write: async (chunks) => {
        const path = join(options.to, `audit-${month}.ndjson`);
        await writeFile(path, chunks);
        return path;
      },
    }),
  );
  console.log(`${file}: ${rows} rows of ${month}, SHA-256 ${sha256}; the partition is dropped`);
}

/** Makes a file that only its owner reads, and nobody overwrites. @returns its size, when it is on the disk */
async function writeFile(file: string, chunks: AsyncIterable<string>): Promise<number> {
  const handle = await open(file, 'wx', 0o600);
  try {
    let size = 0;
    for await (const chunk of chunks) size += (await handle.write(chunk)).bytesWritten;
    await handle.sync();
    return size;
  } finally {
    await handle.close();
  }
}

async function onRecord(db: Database, what: Pick<AuditEntry, 'subtype' | 'action' | 'query'>): Promise<void> {
  await db.transaction(
    async (tx) => void (await tx.query(insertEntries([{ type: 'export', outcome: 0, ...COMMAND_LINE, ...what }]))),
  );
}

function numberOf(text: string | undefined): number | undefined {
  if (text !== undefined && !/^\d{1,15}$/.test(text)) throw new Error(`'${text}' is not a whole number`);
  return text === undefined ? undefined : Number(text);
}

function trustOf(options: TrustOptions): VerifyOptions {
  return {
    pinned: options.key?.flatMap(keysIn),
    witnessed: options.head?.map((head) => (existsSync(head) ? readFileSync(head, 'utf8') : head)),
    tolerance: numberOf(options.tolerance),
    progress: (leaves, of) => void process.stderr.write(`${leaves} of ${of} leaves\n`),
  };
}

function keysIn(given: string): (string | JWK)[] {
  if (/^[\w-]{43}$/.test(given)) return [given];
  const content = JSON.parse(readFileSync(given, 'utf8')) as JWK | { keys: JWK[] };
  return 'keys' in content ? (content.keys as JWK[]) : [content];
}

/** What was found, as text; exit status 1 when it is anything. */
function report(found: Verification, options: TrustOptions): void {
  const { header, head, counts } = found;
  if (header && head) {
    const pinned = options.key?.length ? 'pinned' : 'NOT PINNED: the file only shows that it agrees with itself';
    console.log(`leaves ${header.from} to ${header.to - 1} of ${head.tree_size}, head of ${head.timestamp}`);
    console.log(`signed with ${found.key} (${pinned})`);
    console.log(
      `${found.leaves} leaves, ${found.heads} heads, ${found.archived} rows in archives, ${found.unsealed} rows not sealed yet`,
    );
  }
  printFaults(found);
  if (counts.size > 0) process.exitCode = 1;
}

/** Each fault, and the verdict. */
export function printFaults({ faults, counts }: Verification): void {
  for (const { kind, text, leaf, event } of faults) {
    const where = [leaf === undefined ? '' : `leaf ${leaf}`, event ? `AuditEvent/${event}` : ''].filter(Boolean).join(', ');
    console.log(`FAULT  ${kind.padEnd(18)}  ${where ? `${where}: ` : ''}${text}`);
  }
  if (counts.size === 0) console.log('ok: every row is the one that was sealed');
  else console.log(`NOT OK: ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
}
