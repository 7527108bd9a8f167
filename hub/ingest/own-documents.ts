import { imagingScope } from '../store/extract-keys.js';
import type { Queryable } from '../store/database.js';
import type { Write } from '../store/resources.js';
import type { FhirResource } from '../store/search-keys.js';
import { sql } from '../store/sql.js';
import type { InstanceFacts } from './study-facts.js';

/** SOP classes of the documents that the hub makes of scores (hub/scoring/structured-report): Comprehensive 3D SR, Key Object Selection. */
const DOCUMENTS: readonly string[] = ['1.2.840.10008.5.1.4.1.1.88.34', '1.2.840.10008.5.1.4.1.1.88.59'];

/**
 * The scope of a study in whose archive the hub has filed documents of its scores: that of the other series. They show nothing that the study does not, and name no body
 * site; who shares chest CTs goes on to share one that was scored. Undefined where there are none: then the resource says it.
 * @param instances all that the index holds of the study
 */
export async function scopeBesideOwnDocuments(
  tx: Queryable,
  study: FhirResource & { id: string },
  instances: readonly InstanceFacts[],
): Promise<Write['scope']> {
  if (!instances.some(({ sop_class_uid }) => DOCUMENTS.includes(sop_class_uid ?? ''))) return undefined;
  const rows = await tx.query<{ uid: string }>(
    sql`select sop_instance_uid as uid from result_store_job where study_id = ${study.id}`,
  );
  const made = new Set(rows.map(({ uid }) => uid));
  const foreign = new Set(instances.filter((i) => !made.has(i.sop_instance_uid)).map((i) => i.series_instance_uid));
  const held = new Set(instances.map((i) => i.series_instance_uid));
  const isOwn = ({ uid }: FhirResource): boolean => held.has(uid) && !foreign.has(uid);
  const series = (study.series ?? []) as FhirResource[];
  const others = series.filter((one) => !isOwn(one));
  if (others.length === series.length) return undefined;
  const codes = (of: readonly FhirResource[]) => new Set(of.map((one) => one.modality?.code));
  const [ofOwn, ofOthers] = [codes(series.filter(isOwn)), codes(others)];
  const modality = ((study.modality ?? []) as { code?: string }[]).filter(({ code }) => !ofOwn.has(code) || ofOthers.has(code));
  return imagingScope({ ...study, series: others, modality });
}
