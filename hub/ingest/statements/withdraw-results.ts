import { idOf, type Reference } from '../../store/fhir-elements.js';
import { toResource } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { findRecordById } from './find-record.js';
import type { Taking } from './taking.js';
import { updateRecord } from './write-record.js';

/** Results that a corrected report no longer has were entered in error: nobody takes them for findings. */
export async function withdrawResults(taking: Taking, before: FhirResource, after: FhirResource): Promise<void> {
  const resultsOf = (report: FhirResource): string[] =>
    ((report.result ?? []) as Reference[]).flatMap((r) => idOf(r, 'Observation') ?? []);
  const kept = new Set(resultsOf(after));
  for (const id of resultsOf(before).filter((one) => !kept.has(one))) {
    const current = await findRecordById(taking, 'Observation', id);
    const isOwn = current?.custodian_id === taking.origin.custodianId && !current.deleted;
    if (!current || !isOwn) continue;
    const observation = toResource(current);
    if (observation.status !== 'entered-in-error')
      await updateRecord(taking, current, { ...observation, status: 'entered-in-error' });
  }
}
