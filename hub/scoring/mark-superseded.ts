import { extensions } from '../../fhir-profiles/codes.js';
import { mapInTurn } from '../store/in-turn.js';
import type { Queryable } from '../store/database.js';
import { idOf } from '../store/fhir-elements.js';
import { findResource, type ResourceRow, toResource, updateResource } from '../store/resources.js';
import { rewrite } from '../store/rewrite.js';

/** The next version of each of these reports and of its Observations says which report is current; all that it said before stays readable, in it and before it. */
export async function markSuperseded(tx: Queryable, reportIds: readonly string[], by: string): Promise<ResourceRow[]> {
  const superseded = { url: extensions.supersededBy, valueReference: { reference: `DiagnosticReport/${by}` } };
  const text = `Superseded: the study was scored anew, see DiagnosticReport/${by}.`;
  const marked: ResourceRow[] = [];
  for (const id of reportIds) {
    const row = await findResource(tx, 'DiagnosticReport', id);
    if (!row) throw new Error('a result without its report');
    const report = toResource(row);
    const extension = [...(report.extension ?? []), superseded];
    const conclusion = `${text}\n${report.conclusion ?? ''}`;
    marked.push(await updateResource(tx, rewrite(row, { ...report, extension, conclusion }), row.version));
    const results: { reference?: string }[] = report.result ?? [];
    const observations = await mapInTurn(
      results.flatMap((r) => idOf(r, 'Observation') ?? []),
      (of) => findResource(tx, 'Observation', of),
    );
    for (const one of observations.flatMap((found) => found ?? [])) {
      const observation = toResource(one);
      const next = {
        ...observation,
        extension: [...(observation.extension ?? []), superseded],
        note: [{ text }, ...(observation.note ?? [])],
      };
      marked.push(await updateResource(tx, rewrite(one, next), one.version));
    }
  }
  return marked;
}
