import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type pg from 'pg';
import { to } from 'pg-copy-streams';
import type { TableInBackup } from './manifest.js';
import { sealing } from './sealed-stream.js';
import { type CatalogTable, copyOut } from './tables.sql.js';

export interface TableFile {
  path: string;
  key: Buffer;
  /** Told how many bytes of a table were read, of about how many. */
  told: (table: string, size: number, read: number) => void;
}

/** Writes the rows of a table to a new file, compressed and encrypted, in bounded memory. Resolves when the file is on the disk. */
export async function copyTable(
  client: pg.Client,
  { name, columns, size }: CatalogTable,
  { path, key, told }: TableFile,
): Promise<TableInBackup> {
  const rows = client.query(to(copyOut(name, columns)));
  const digest = createHash('sha256');
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
  let read = 0;
  const counted = passing((chunk) => {
    read += chunk.length;
    told(name, size, read);
  });
  await pipeline(
    rows,
    counted,
    createGzip({ chunkSize: 64 * 1024 }),
    sealing(key),
    passing((chunk) => void digest.update(chunk)),
    file,
  );
  told(name, size, size);
  return { name, columns, rows: rows.rowCount, bytes: file.bytesWritten, sha256: digest.digest('hex') };
}

function passing(look: (chunk: Buffer) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      look(chunk);
      done(null, chunk);
    },
  });
}

const SECONDS_BETWEEN = 5;

/** Tells every few seconds how much of all tables is done; bytes of text stand for bytes on disk, which are only near. */
export function teller(tables: readonly CatalogTable[], progress: (line: string) => void) {
  const all = tables.reduce((sum, { size }) => sum + size, 0);
  const done = new Map<string, number>();
  let last = performance.now();
  return (table: string, size: number, read: number): void => {
    done.set(table, Math.min(size, read));
    if (performance.now() - last < SECONDS_BETWEEN * 1000) return;
    last = performance.now();
    const share = [...done.values()].reduce((sum, bytes) => sum + bytes, 0) / Math.max(1, all);
    progress(`${Math.floor(share * 100)} % (${table})`);
  };
}
