import type { Queryable } from '../store/database.js';
import { localReference } from '../store/search-keys.js';
import { columns, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';
import { sql } from '../store/sql.js';

/** Rows that are read at once. */
const PAGE = 200;

/**
 * Files everything that is kept of one Patient under another: each record becomes its next version, with its references to the one in the place of those to
 * the other. Deleted ones follow without a version. What is only of the person himself (`except`) stays.
 * @returns the records as they are now.
 */
export async function moveRecords(tx: Queryable, from: string, to: string, except: readonly string[]): Promise<ResourceRow[]> {
  const moved: ResourceRow[] = [];
  for (;;) {
    const page = await tx.query<ResourceRow & Record<string, unknown>>(sql`
      select ${columns} from resource r where r.patient_id = ${from} and r.type <> all(${except}::text[]) and not r.deleted
      order by r.type, r.id limit ${PAGE} for update`);
    if (page.length === 0) break;
    for (const row of page) moved.push(await moveOne(tx, row, from, to));
  }
  await tx.query(
    sql`update resource set patient_id = ${to} where patient_id = ${from} and type <> all(${except}::text[]) and deleted`,
  );
  await followRecords(tx, moved, from, to);
  return moved;
}

function moveOne(tx: Queryable, row: ResourceRow, from: string, to: string): Promise<ResourceRow> {
  const resource = toResource(row);
  redirect(resource, `Patient/${from}`, `Patient/${to}`);
  return updateResource(tx, rewrite(row, resource), row.version);
}

/** References to one record become references to another, in place. */
function redirect(node: unknown, from: string, to: string): void {
  if (typeof node !== 'object' || node === null) return;
  const holder = node as { reference?: unknown };
  if (typeof holder.reference === 'string' && localReference(holder.reference) === from) holder.reference = to;
  for (const child of Object.values(node)) redirect(child, from, to);
}

/** What the hub notes beside the records: claims on studies, scores that are still to be made, guardians. */
async function followRecords(tx: Queryable, moved: readonly ResourceRow[], from: string, to: string): Promise<void> {
  const idsOf = (type: string): string[] => moved.filter((row) => row.type === type).map((row) => row.id);
  const studies = moved.filter((row) => row.type === 'ImagingStudy');
  const claims = studies.flatMap((row) => uidsOf(row).map((uid) => ({ custodian_id: row.custodian_id, uid })));
  await tx.query(sql`
    update study_claim c set patient_id = ${to}
    from json_to_recordset(${JSON.stringify(claims)}::json) as n (custodian_id text, uid text)
    where c.custodian_id = n.custodian_id and c.study_instance_uid = n.uid and c.patient_id = ${from}`);
  await tx.query(sql`update scoring_job set patient_id = ${to} where task_id = any(${idsOf('Task')}::text[])`);
  await tx.query(sql`
    update guardianship set patient_id = ${to} where related_person_id = any(${idsOf('RelatedPerson')}::text[])`);
}

const uidsOf = (row: ResourceRow): string[] =>
  ((toResource(row).identifier ?? []) as { system?: string; value?: string }[])
    .filter((i) => i.system === 'urn:dicom:uid' && i.value)
    .map((i) => (i.value as string).replace(/^urn:oid:/, ''));
