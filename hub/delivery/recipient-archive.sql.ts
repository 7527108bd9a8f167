import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** The archive of a hospital that keeps what the hub stores, and what its objects call the assigners of the hospital. */
export interface RecipientArchive {
  connectorId: string;
  issuers: { patientId?: string; accessionNumber?: string };
}

/** Undefined where the hospital has marked none (`store` of a source in its record). */
export async function recipientArchive(on: Queryable, organizationId: string): Promise<RecipientArchive | undefined> {
  const [row] = await on.query<{ id: string; issuers: RecipientArchive['issuers'] | null }>(sql`
    select id, settings->'issuers' as issuers from connector
    where organization_id = ${organizationId} and enabled and settings @> '{"store": true}' order by id limit 1`);
  return row && { connectorId: row.id, issuers: row.issuers ?? {} };
}
