import { Refusal } from '../../outcomes.js';
import { sql } from '../../store/sql.js';
import type { Taking } from './taking.js';

/** Records that may go from one source in a day without a person's word: so many, or so large a part of what was read from it. */
const FREE = 10;
const PART = 0.1;

/** What a source has no longer stays until a person confirms that it is gone. */
export class RemovalUnconfirmed extends Refusal {}

/** With the record that is about to go noted as gone. @throws RemovalUnconfirmed where a source loses so much that the loss of its database is likelier than the work of its people. */
export async function assertMayRemove({ tx, origin }: Taking): Promise<void> {
  const connectorId = origin.connectorId ?? '';
  const [lost] = await tx.query<{ n: number }>(
    sql`select count(*)::int as n from source_record where connector_id = ${connectorId} and gone > now() - interval '1 day'`,
  );
  const gone = lost?.n ?? 0;
  if (gone <= FREE) return;
  const [kept] = await tx.query<{ n: number }>(
    sql`select count(*)::int as n from source_record where connector_id = ${connectorId} and gone is null`,
  );
  if (gone <= PART * ((kept?.n ?? 0) + gone)) return;
  const diagnostics = 'The source no longer has this record, and has lost many within a day. A retry confirms that it is gone.';
  throw new RemovalUnconfirmed(409, [{ severity: 'error', code: 'conflict', diagnostics }]);
}
