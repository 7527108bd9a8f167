import type { Queryable } from '../../store/queryable.js';
import { raw } from '../../store/sql.js';
import * as statement from './seal.sql.js';

/** The rows of the audit came from another cluster, or from another time of this one: ids of transactions are counted on from the highest that they hold. */
export async function countOn(tx: Queryable): Promise<void> {
  await tx.query(statement.lockAudit);
  const [{ newest }] = (await tx.query<{ newest: number }>(statement.newestXact)) as [{ newest: number }];
  await tx.query(statement.countFrom(newest));
  await tx.query(statement.setBase(newest));
}

/**
 * The same for a database that was just restored, where nobody else is yet. The sealer shall not look at all rows for those that were in no tree
 * when the backup was made: it begins at the first of them.
 */
export async function countOnHere(tx: Queryable): Promise<void> {
  await countOn(tx);
  await tx.query(
    raw(`
    update audit_seal set swept_recorded = place.recorded, swept_id = place.id
    from (
      (select recorded, id - 1 as id, 1 as choice from audit_event a where ${statement.UNSEALED} order by recorded, id limit 1)
      union all
      (select recorded, id, 2 from audit_event order by recorded desc, id desc limit 1)
      order by choice limit 1
    ) as place`),
  );
}
