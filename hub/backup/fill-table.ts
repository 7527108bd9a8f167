import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type pg from 'pg';
import { from } from 'pg-copy-streams';
import type { TableInBackup } from './manifest.js';
import { fileOf, type OpenBackup } from './open-backup.js';
import { opening } from './sealed-stream.js';
import { copyIn } from './tables.sql.js';

/** Copies a table's file into the table, in bounded memory. @throws Error when the file does not open or holds another number of rows */
export async function fillTable(
  client: pg.ClientBase,
  { folder, keys }: OpenBackup,
  { name, columns, rows }: TableInBackup,
): Promise<void> {
  const into = client.query(from(copyIn(name, columns)));
  try {
    await pipeline(createReadStream(fileOf(folder, name)), opening(keys.ofTable(name)), createGunzip(), into);
  } catch (error) {
    throw new Error(`table ${name}: ${(error as Error).message}`, { cause: error });
  }
  if (into.rowCount !== rows) throw new Error(`table ${name}: ${into.rowCount} rows instead of ${rows}`);
}
