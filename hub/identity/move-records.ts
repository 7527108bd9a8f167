import type { Audit } from '../audit/vocabulary.js';
import type { Database, Queryable } from '../store/database.js';
import { localReference, searchKeys } from '../store/search-keys.js';
import { columns, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';
import { sql } from '../store/sql.js';
import { identityEntries } from './identity-record.js';

/** What is said of the person stays with the Patient for whom it was said; of the wrong person, his guardians too. */
export const STAYS = { merge: ['Patient', 'Consent'], move: ['Patient', 'Consent', 'RelatedPerson'] } as const;

/** Types of record that are filed under a patient: by name, so that their index serves. */
const filed = (except: readonly string[]): string[] => Object.keys(searchKeys).filter((type) => !except.includes(type));

/** Rows that are read at once. */
const PAGE = 200;

/**
 * Files everything that is kept of one Patient under another: each record becomes its next version, with its references to the one in the place of those to
 * the other. Deleted ones follow without a version. What is only of the person himself (`except`) stays.
 * @returns the records as they are now.
 */
export async function moveRecords(tx: Queryable, from: string, to: string, except: readonly string[]): Promise<ResourceRow[]> {
  const moved: ResourceRow[] = [];
  const types = filed(except);
  for (;;) {
    const page = await tx.query<ResourceRow & Record<string, unknown>>(sql`
      select ${columns} from resource r where r.patient_id = ${from} and r.type = any(${types}::text[]) and not r.deleted
      order by r.type, r.id limit ${PAGE} for update`);
    if (page.length === 0) break;
    for (const row of page) moved.push(await moveOne(tx, row, from, to));
  }
  await tx.query(
    sql`update resource set patient_id = ${to} where patient_id = ${from} and type = any(${types}::text[]) and deleted`,
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

/** How long after a merge a transaction that did not see it may have come to its end, with all that was sent late. */
const LATE_HOURS = 24;

/**
 * What was written for a Patient at the moment at which he was given up, by who had not seen it, follows him. To be called now and then; safe in many
 * processes. Resolves with how many records were moved.
 */
export async function moveStragglers(db: Database, audit: Audit): Promise<number> {
  const merges = await db.query<{ retired_id: string; survivor_id: string; custodian_id: string; kind: 'merge' | 'move' }>(sql`
    select m.retired_id, m.survivor_id, m.custodian_id, m.kind from patient_merge m
    where m.merged > now() - make_interval(hours => ${LATE_HOURS}) and exists (
      select from unnest(${filed(STAYS.move)}::text[]) t join resource r on r.type = t and r.patient_id = m.retired_id and not r.deleted)`);
  let count = 0;
  for (const { retired_id, survivor_id, custodian_id, kind } of merges)
    await db.transaction(async (tx) => {
      const records = await moveRecords(tx, retired_id, survivor_id, STAYS[kind]);
      count += records.length;
      const agent = { agent: 'Device/hub', custodianId: custodian_id, requestId: 'hub' };
      const patientIds = records.length > 0 ? [survivor_id, retired_id] : [];
      await audit.append(tx, identityEntries({ agent, subtype: kind, patientIds, records, detail: 'written late' }));
    });
  return count;
}
