import { gunzipSync, gzipSync } from 'node:zlib';
import type { Database } from '../store/database.js';
import type { Protection } from '../store/protection.js';
import { raw, sql } from '../store/sql.js';

/** @param place where it is kept: what is sealed for one place opens at no other. */
export const sealedRecord = ({ keys }: Protection, place: string, record: unknown): string =>
  keys.seal('content', place, 'record', gzipSync(JSON.stringify(record)).toString('base64'));

/** @throws {IntegrityFailure} when it was changed, or lies elsewhere than where it was sealed for. */
export const openedRecord = <T>({ keys }: Protection, place: string, sealed: string): T =>
  JSON.parse(gunzipSync(Buffer.from(keys.open('content', place, 'record', sealed), 'base64')).toString('utf8'));

const WINDOW = 100;

/** Brings a table's records under the current key, a few at a time. @param of the table, the columns of its key, and the place of a row. */
export async function sealRecordsAgain(
  db: Database,
  of: { table: string; key: readonly string[]; placeOf(row: Record<string, unknown>): string },
): Promise<void> {
  const [table, key] = [raw(of.table), raw(of.key.join(', '))];
  for (let more = true; more; ) {
    more = await db.transaction(async (tx) => {
      const rows = await tx.query<{ place: string; sealed: string }>(sql`
        select ctid::text as place, sealed, ${key} from ${table} where not starts_with(sealed, ${`${db.protection.keys.current}.`})
        order by ${key} limit ${WINDOW} for update`);
      for (const { place, sealed, ...row } of rows) {
        const at = of.placeOf(row);
        const again = sealedRecord(db.protection, at, openedRecord(db.protection, at, sealed));
        await tx.query(sql`update ${table} set sealed = ${again} where ctid = ${place}::tid`);
      }
      return rows.length > 0;
    });
  }
}
