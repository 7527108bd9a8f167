import { extensions } from '../../fhir-profiles/codes.js';
import { mapInTurn } from '../store/in-turn.js';
import type { Queryable } from '../store/database.js';
import { findResource, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';

/** The next version of each of these reports says which one is current; all that it said before stays readable, in it and before it. */
export async function markSuperseded(tx: Queryable, reportIds: readonly string[], by: string): Promise<ResourceRow[]> {
  return mapInTurn(reportIds, async (id) => {
    const row = await findResource(tx, 'DiagnosticReport', id);
    if (!row) throw new Error('a result without its report');
    const report = toResource(row);
    const extension = [
      ...(report.extension ?? []),
      { url: extensions.supersededBy, valueReference: { reference: `DiagnosticReport/${by}` } },
    ];
    const conclusion = `Superseded: the study was scored anew, see DiagnosticReport/${by}.\n${report.conclusion ?? ''}`;
    return updateResource(tx, rewrite(row, { ...report, extension, conclusion }), row.version);
  });
}
