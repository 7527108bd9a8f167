import type { Queryable } from './database.js';
import type { ResourceRow, Write } from './resources.js';
import { sql } from './sql.js';

/** Names a stored record. */
export type RecordKey = Pick<ResourceRow, 'type' | 'id'>;

/**
 * The sensitivity labels of these studies, which what is written about them takes over. The rows stay locked until the transaction ends: a label that
 * is set meanwhile waits, and then finds the record that was written.
 */
export const labelsOfStudies = (tx: Queryable, ids: readonly string[]): Promise<string[]> =>
  labelsOfRecords(
    tx,
    ids.map((id) => ({ type: 'ImagingStudy', id })),
  );

/** The same of any records. */
export async function labelsOfRecords(tx: Queryable, records: readonly RecordKey[]): Promise<string[]> {
  if (records.length === 0) return [];
  const rows = await tx.query<{ labels: string[] }>(sql`
    select r.labels from unnest(${records.map(({ type }) => type)}::text[], ${records.map(({ id }) => id)}::text[]) k (type, id)
    join resource r on r.type = k.type and r.id = k.id order by r.type, r.id for share of r`);
  return [...new Set(rows.flatMap((row) => row.labels))];
}

/** From now on these records have the labels of those that they were made from, also such as are set later (trigger `pass_labels_on`). */
export async function takeLabelsOver(tx: Queryable, records: readonly RecordKey[], from: readonly RecordKey[]): Promise<void> {
  const columns = (keys: readonly RecordKey[]) => [keys.map(({ type }) => type), keys.map(({ id }) => id)] as const;
  const [[types, ids], [ofTypes, ofIds]] = [columns(records), columns(from)];
  await tx.query(sql`
    insert into label_source
    select r.type, r.id, o.type, o.id from unnest(${types}::text[], ${ids}::text[]) r (type, id), unnest(${ofTypes}::text[], ${ofIds}::text[]) o (type, id)
    on conflict do nothing`);
}

/** These records have the labels of all that another one has them from. */
export async function takeLabelsOverLike(tx: Queryable, records: readonly RecordKey[], other: RecordKey): Promise<void> {
  const from = await tx.query<{ type: string; id: string }>(
    sql`select of_type as type, of_id as id from label_source where type = ${other.type} and id = ${other.id}`,
  );
  if (from.length > 0) await takeLabelsOver(tx, records, from);
}

/** After a record's own labels changed: it has those that it takes over from others beside them. Its content is as it was, so its version is too. */
export async function settleLabels(tx: Queryable, { type, id }: RecordKey): Promise<void> {
  await tx.query(sql`
    update resource d set labels = taken_over_labels(d) where d.type = ${type} and d.id = ${id} and not d.labels @> taken_over_labels(d)`);
}

/** The scope that a record about these studies has, so that limited sharing covers both or neither. */
export function scopeOfStudies(studies: readonly ResourceRow[]): Pick<Write, 'scope'> {
  if (studies.length === 0) return {};
  const started = studies[0]?.date_from;
  return {
    scope: {
      modality: [...new Set(studies.flatMap((r) => r.modality))],
      bodySite: [...new Set(studies.flatMap((r) => r.body_site))],
      ...(started ? { started } : {}),
    },
  };
}
