import { MACHINE_MADE } from '../../store/machine-made.js';
import { mapInTurn } from '../../store/in-turn.js';
import type { Queryable } from '../../store/database.js';
import { columns, type ResourceRow, toResource, updateResource } from '../../store/resources.js';
import { rewrite } from '../../store/rewrite.js';
import { sql } from '../../store/sql.js';

/** Preliminary results of models about a study that is another patient's were entered in error where they are. */
export async function withdrawResults(tx: Queryable, study: ResourceRow): Promise<void> {
  const rows = await tx.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r
    where r.type in ('DiagnosticReport', 'Observation') and r.patient_id = ${study.patient_id} and ${`ImagingStudy/${study.id}`} = any(r.refers)
      and not r.deleted and r.content ->> 'status' = 'preliminary' for update`);
  await mapInTurn(rows.filter(isMachineMade), (row) =>
    updateResource(tx, rewrite(row, { ...toResource(row), status: 'entered-in-error' }), row.version),
  );
}

const isMachineMade = (row: ResourceRow): boolean =>
  ((toResource(row).meta?.tag ?? []) as { code?: string }[]).some(({ code }) => code === MACHINE_MADE);
