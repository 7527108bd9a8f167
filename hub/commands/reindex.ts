import { sql } from '../store/sql.js';
import { withDatabase } from './operate.js';

/** `hub reindex [hospital]`: forgets how far the sources were read; a running hub reads them again from the beginning. Nothing is doubled. */
export async function reindex(hospital?: string): Promise<void> {
  await withDatabase(async (db) => {
    const rows = await db.query<{ id: string }>(sql`
      update connector set cursor = null, reset = reset + 1 where ${hospital ?? null}::text is null or organization_id = ${hospital ?? null} returning id`);
    if (hospital && rows.length === 0) throw new Error(`no source of ${hospital}`);
    console.log(`${rows.length} source(s) will be read again: ${rows.map((r) => r.id).join(', ')}`);
  });
}
