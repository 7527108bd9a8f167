import type { Queryable } from '../store/queryable.js';
import type { Protection } from '../store/protection.js';
import { sql } from '../store/sql.js';

/** Whose item it is: what of a message is kept opens nowhere else. */
interface Place {
  custodianId: string;
  connectorId?: string | null;
}

const placeOf = ({ custodianId, connectorId }: Place): string => `Quarantine/${custodianId}/${connectorId ?? ''}`;

/** An item with what is kept of it sealed: a message may hold everything of a patient. */
export function withMessage<T extends { locator: string; bytes?: Uint8Array }>(
  protection: Protection,
  of: Place,
  { bytes, ...item }: T,
) {
  if (!bytes) return item;
  const plain = Buffer.from(bytes).toString('base64');
  return { ...item, message: protection.keys.seal('content', placeOf(of), item.locator, plain) };
}

/** What was kept of an item. @throws {IntegrityFailure} */
export function messageOf(protection: Protection, of: Place & { locator: string; message?: string | null }): Buffer | undefined {
  if (!of.message) return undefined;
  return Buffer.from(protection.keys.open('content', placeOf(of), of.locator, of.message), 'base64');
}

/** Messages that are sealed again at once. */
const WINDOW = 50;

/** Brings what is kept of quarantined items under the current key. */
export async function sealMessagesAgain(tx: Queryable, protection: Protection): Promise<void> {
  for (let after = ''; ; ) {
    const rows = await tx.query<{
      id: string;
      custodian_id: string;
      connector_id: string | null;
      locator: string;
      message: string;
    }>(sql`
      select id, custodian_id, connector_id, locator, message from quarantine
      where message is not null and id > ${after} order by id limit ${WINDOW} for update`);
    for (const row of rows) {
      const of = { custodianId: row.custodian_id, connectorId: row.connector_id, locator: row.locator };
      const bytes = messageOf(protection, { ...of, message: row.message });
      const sealed = withMessage(protection, of, { locator: row.locator, bytes });
      await tx.query(
        sql`update quarantine set message = ${(sealed as { message?: string }).message ?? null} where id = ${row.id}`,
      );
    }
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}
