import { createHash } from 'node:crypto';
import type { Manifest } from '../../../models/manifest.js';
import { studyInstanceUidOf } from '../../imaging/study-uid.js';
import type { Queryable } from '../../store/database.js';
import { type ResourceRow, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import { hasStoredResults } from './queue.sql.js';

/** What of a study the model would read, as far as the index knows, and whose it is: another patient, or another object under a known UID, is another content. */
export async function contentDigest(tx: Queryable, { accepts: { modality } }: Manifest, study: ResourceRow): Promise<string> {
  const series: { uid?: string; modality?: { code?: string }; instance?: { uid?: string }[]; numberOfInstances?: number }[] =
    toResource(study).series ?? [];
  const rows = await tx.query<{ uid: string; digest: string | null }>(sql`
    select sop_instance_uid as uid, digest from imaging_instance
    where custodian_id = ${study.custodian_id} and study_instance_uid = ${studyInstanceUidOf(study) ?? ''}`);
  const digests = new Map(rows.map(({ uid, digest }) => [uid, digest ?? '']));
  const object = ({ uid = '' }: { uid?: string }): string => `${uid}=${digests.get(uid) ?? ''}`;
  const read = series
    .filter((one) => modality.includes(one.modality?.code ?? ''))
    .map((one) => [one.uid, one.numberOfInstances, ...(one.instance ?? []).map(object).sort()].join(' '));
  return createHash('sha256')
    .update([study.patient_id, ...read.sort()].join('\n'))
    .digest('hex');
}

/** Whether nothing that the model reads has changed since it was scored and results of the hub's own were filed with it: else each would ask for the next. */
export async function isOnlyOurs(tx: Queryable, study: ResourceRow, model: string, content: string): Promise<boolean> {
  if (!(await hasStoredResults(tx, study.id))) return false;
  const placed = await tx.query(sql`
    select from scoring_job where focus_id = ${study.id} and model = ${model} and automatic and state <> 'cancelled' and content_digest = ${content} limit 1`);
  return placed.length > 0;
}
