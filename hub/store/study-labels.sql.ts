import type { Queryable } from './database.js';
import type { ResourceRow, Write } from './resources.js';
import { sql } from './sql.js';

/**
 * The sensitivity labels of these studies, which what is written about them takes over. The rows stay locked until the transaction ends: a label that
 * is set meanwhile waits, and then finds the record that was written.
 */
export async function labelsOfStudies(tx: Queryable, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await tx.query<{ labels: string[] }>(
    sql`select r.labels from resource r where r.type = 'ImagingStudy' and r.id = any(${ids}::text[]) order by r.id for share`,
  );
  return rows.flatMap((row) => row.labels);
}

/**
 * After a study's labels changed: reports and observations about it have those of their studies and their own. Their content is as it was, so
 * their version is too.
 */
export async function passLabelsOn(tx: Queryable, study: ResourceRow): Promise<void> {
  await tx.query(sql`
    update resource d set labels = array(
      select coalesce(own.label ->> 'system', '') || '|' || coalesce(own.label ->> 'code', '')
      from json_array_elements(coalesce(d.meta -> 'security', '[]'::json)) as own (label)
      union
      select unnest(s.labels) from unnest(d.refers) t join resource s on s.type = 'ImagingStudy' and 'ImagingStudy/' || s.id = t
    )
    where d.type in ('DiagnosticReport', 'Observation') and d.patient_id = ${study.patient_id} and ${`ImagingStudy/${study.id}`} = any(d.refers)`);
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
