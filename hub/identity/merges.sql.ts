import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/** A Patient that was given up for another one of the same custodian. */
export interface Retired {
  retired_id: string;
  survivor_id: string;
  kind: 'merge' | 'move';
}

/** Those of these Patients that were given up. */
export async function retiredAmong(tx: Queryable, patientIds: readonly string[]): Promise<Map<string, Retired>> {
  if (patientIds.length === 0) return new Map();
  const rows = await tx.query<Retired & Record<string, unknown>>(
    sql`select retired_id, survivor_id, kind from patient_merge where retired_id = any(${patientIds}::text[])`,
  );
  return new Map(rows.map((row) => [row.retired_id, row]));
}

/** The Patient that stands for this one: itself, or the one that it was given up for. */
export const survivorOf = async (tx: Queryable, patientId: string): Promise<string> =>
  (await retiredAmong(tx, [patientId])).get(patientId)?.survivor_id ?? patientId;

/** Patients that were merged into this one: of the same person. */
export async function mergedInto(tx: Queryable, survivorId: string): Promise<string[]> {
  const rows = await tx.query<{ retired_id: string }>(
    sql`select retired_id from patient_merge where survivor_id = ${survivorId} and kind = 'merge' order by retired_id`,
  );
  return rows.map((row) => row.retired_id);
}

/** Notes that a Patient is given up. Those that were given up for him before follow him. */
export async function recordRetired(
  tx: Queryable,
  { retired_id, survivor_id, kind }: Retired,
  custodianId: string,
): Promise<void> {
  await tx.query(sql`update patient_merge set survivor_id = ${survivor_id} where survivor_id = ${retired_id}`);
  await tx.query(sql`
    insert into patient_merge (retired_id, survivor_id, custodian_id, kind) values (${retired_id}, ${survivor_id}, ${custodianId}, ${kind})`);
}
