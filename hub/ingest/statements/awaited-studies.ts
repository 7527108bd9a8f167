import { sql } from '../../store/sql.js';
import type { ResourceRow } from '../../store/resources.js';
import type { Awaited } from './resolve-references.js';
import type { Taking } from './taking.js';

/** Notes which studies a record waits for, in the place of what it waited for before. */
export async function awaitStudies({ tx, origin }: Taking, row: ResourceRow, awaited: readonly Awaited[]): Promise<void> {
  if (row.type !== 'DiagnosticReport' && row.type !== 'Observation') return;
  await tx.query(
    sql`delete from awaited_study where type = ${row.type} and id = ${row.id} and awaited <> all(${awaited}::text[])`,
  );
  if (awaited.length === 0) return;
  await tx.query(sql`
    insert into awaited_study (custodian_id, awaited, type, id)
    select ${origin.custodianId}, a, ${row.type}, ${row.id} from unnest(${awaited}::text[]) a on conflict do nothing`);
}
