import type { Connector } from '../../../connectors/connector.js';
import { conflict, unavailable } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Archive } from './push-objects.js';

/**
 * The archive that keeps what an organization pushes: the source that its record marks (`store: true`).
 * @throws Refusal 409 where none is marked or it can't store, 503 where it is not open in this process.
 */
export async function archiveOf(
  on: Queryable,
  connectorFor: (connectorId: string) => Connector | undefined,
  organizationId: string,
): Promise<Archive> {
  const [row] = await on.query<{ id: string }>(sql`
    select id from connector where organization_id = ${organizationId} and enabled and settings @> '{"store": true}' order by id limit 1`);
  if (!row) throw conflict('No archive of this organization keeps what is pushed: its record marks none (sources[].store).');
  const connector = connectorFor(row.id);
  if (!connector) throw unavailable();
  const { store, storedLocator } = connector;
  if (!store || !storedLocator) throw conflict('The archive that is marked can’t keep objects.');
  return {
    connectorId: row.id,
    connector: {
      store: (objects, signal) => store.call(connector, objects, signal),
      storedLocator: (uids) => storedLocator.call(connector, uids),
      retry: (item, signal) => connector.retry(item, signal),
    },
  };
}
