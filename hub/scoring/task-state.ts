import { systems } from '../../fhir-profiles/codes.js';
import type { Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { sql } from '../store/sql.js';

/** Task.businessStatus of a state. */
export const inState = (code: string) => ({ coding: [{ system: systems.businessStatus, code }] });

/** The Task under lock, while its worker changes it. */
export async function lockTask(tx: Queryable, id: string): Promise<ResourceRow | undefined> {
  await tx.query(sql`select from resource where type = 'Task' and id = ${id} for update`);
  return findResource(tx, 'Task', id);
}

/** A change of the Task by the hub itself. */
export async function moveTask(tx: Queryable, row: ResourceRow, change: Record<string, unknown>): Promise<ResourceRow> {
  const next = { ...toResource(row), ...change, lastModified: new Date().toISOString() };
  return updateResource(tx, { resource: next, custodianId: row.custodian_id, parties: row.parties }, row.version);
}
