import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';

/**
 * Whether a score was made of this very patient's images: he is the subject of the report's first version, or that one was merged into him (one person with two
 * numbers). False once the study or its number was found to be another patient's: what the images said of the patient is then of somebody else.
 */
export async function isOfScoredPatient(on: Queryable, reportId: string, patientId: string): Promise<boolean> {
  const [row] = await on.query<{ same: boolean }>(sql`
    with scored as (
      select patient_id from resource_history where type = 'DiagnosticReport' and id = ${reportId} and version = 1
      union all
      select patient_id from resource where type = 'DiagnosticReport' and id = ${reportId} and version = 1)
    select coalesce(bool_or(s.patient_id = ${patientId} or exists (
      select from patient_merge m where m.retired_id = s.patient_id and m.survivor_id = ${patientId} and m.kind = 'merge')), false) as same
    from scored s`);
  return row?.same ?? false;
}
