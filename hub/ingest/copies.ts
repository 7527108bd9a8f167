import type { InstanceDescription, StudyDescription } from '../../connectors/connector.js';
import { mayBeCopied } from '../imaging/copied.sql.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { Origin } from './quarantine.js';
import type { IngestDeps } from './submit-study.js';
import { withdrawCopies } from './withdraw-copies.js';

/**
 * What of a study is the hospital's own. Objects that a hub delivered to its archive are another hospital's: they are indexed where they come from, and
 * never become this one's to show or to pass on. An object is known as a copy by the mark that it carries, whatever the database remembers of deliveries;
 * by what was delivered; and by what may have been, when a delivery did not come to its end. Copies that no delivery tells of are put on record, and what
 * the index held of them as this hospital's leaves it.
 * @returns undefined when nothing is left.
 */
export async function ownPartOf(
  tx: Queryable,
  deps: IngestDeps,
  origin: Origin,
  study: StudyDescription,
): Promise<StudyDescription | undefined> {
  const { custodianId } = origin;
  const { studyInstanceUid } = study;
  const evidence = await evidenceOf(tx, custodianId, studyInstanceUid);
  const instances = study.series.flatMap((series) => series.instances);
  const returned = await ofIndexed(
    tx,
    custodianId,
    instances.filter(({ copyOf }) => copyOf === custodianId),
  );
  const isMarked = ({ copyOf, sopInstanceUid }: InstanceDescription): boolean =>
    copyOf !== undefined && !returned.has(sopInstanceUid);
  const marked = instances.filter(isMarked);
  if (evidence.size === 0 && marked.length === 0) return study;
  await noteFound(
    tx,
    origin,
    studyInstanceUid,
    marked.filter(({ sopInstanceUid }) => evidence.get(sopInstanceUid) !== 'sent'),
  );
  await withdrawCopies(
    tx,
    deps,
    { ...origin, studyInstanceUid },
    marked.map(({ sopInstanceUid }) => sopInstanceUid),
  );
  const isOwn = (one: InstanceDescription): boolean => !isMarked(one) && !isCopy(evidence.get(one.sopInstanceUid), one);
  const series = study.series
    .map((one) => ({ ...one, instances: one.instances.filter(isOwn) }))
    .filter((one) => one.instances.length > 0);
  // what the archive counts holds the copies
  const { claimedInstances: _counted, ...rest } = study;
  return series.length === 0 ? undefined : { ...rest, series };
}

/**
 * Copies that came back to the hospital that they are of, and that its index has: it is compared with them, and keeps what it has. Those that it has not
 * bear another hospital's number for the patient, and are passed over.
 * @returns their SOP Instance UIDs.
 */
async function ofIndexed(
  on: Queryable,
  custodianId: string,
  returned: readonly InstanceDescription[],
): Promise<ReadonlySet<string>> {
  if (returned.length === 0) return new Set();
  const rows = await on.query<{ uid: string }>(sql`
    select sop_instance_uid as uid from imaging_instance
    where custodian_id = ${custodianId} and sop_instance_uid = any(${returned.map(({ sopInstanceUid }) => sopInstanceUid)}::text[])`);
  return new Set(rows.map(({ uid }) => uid));
}

/** What the database knows of an object at a hospital: a delivery began to send it, or could not deliver it; or it was found there with a mark. */
export type CopyEvidence = 'sent' | 'refused' | 'found';

/** An object of which nothing but the mark tells is the hospital's once it is there with a header and without a mark. */
const isCopy = (evidence: CopyEvidence | undefined, { digest }: InstanceDescription): boolean =>
  evidence === 'sent' || (evidence !== undefined && digest === undefined);

/** Objects of a study that are, or may be, copies at this hospital, by their SOP Instance UIDs. */
export async function evidenceOf(
  on: Queryable,
  custodianId: string,
  studyInstanceUid: string,
): Promise<Map<string, CopyEvidence>> {
  const rows = await on.query<{ uid: string; evidence: CopyEvidence }>(sql`
    select sop_instance_uid as uid, 'found' as evidence from found_copy
    where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid}
    union all
    select i.sop_instance_uid, case when i.state = 'failed' and not i.unanswered and j.state not in ('queued', 'running') then 'refused' else 'sent' end
    from delivery_job j join delivery_instance i using (task_id)
    where j.recipient_id = ${custodianId} and j.study_instance_uid = ${studyInstanceUid} and ${mayBeCopied}`);
  const evidence = new Map<string, CopyEvidence>();
  for (const one of rows) if (evidence.get(one.uid) !== 'sent') evidence.set(one.uid, one.evidence);
  return evidence;
}

async function noteFound(
  tx: Queryable,
  { custodianId, connectorId }: Origin,
  studyInstanceUid: string,
  found: readonly InstanceDescription[],
): Promise<void> {
  if (found.length === 0) return;
  await tx.query(sql`
    insert into found_copy (custodian_id, sop_instance_uid, study_instance_uid, connector_id, copy_of)
    select ${custodianId}, f.uid, ${studyInstanceUid}, ${connectorId ?? null}, f."copyOf"
    from json_to_recordset(${JSON.stringify(found.map(({ sopInstanceUid, copyOf }) => ({ uid: sopInstanceUid, copyOf })))}::json) as f (uid text, "copyOf" text)
    order by f.uid on conflict do nothing`);
}
