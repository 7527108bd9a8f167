import { areCopied } from '../imaging/copied.sql.js';
import type { Queryable } from '../store/database.js';
import { tokenKey } from '../store/tokens.js';
import { oneOf, raw, type Sql, sql } from '../store/sql.js';
import type { InstanceFacts, SeriesFacts, StudyAttributes } from './study-facts.js';

/** A claim of a custodian on a Study Instance UID: at most one resource stands for it. */
export interface Claim extends StudyAttributes {
  study_instance_uid: string;
  patient_id: string;
  study_id: string;
  /** Elements that a hospital system pushed, which win over what images say: some of `started`, `description`, `modality`. */
  pushed: string[];
}

const CLAIM_NAMES =
  'study_instance_uid, patient_id, study_id, claimed_instances, started, accession_number, description, study_number, referring_physician, pushed';
const CLAIM = raw(CLAIM_NAMES);
const CLAIM_VALUES = raw(CLAIM_NAMES.replace(/\w+/g, 'c.$&'));

const CLAIM_COLUMNS = raw(`(study_instance_uid text, patient_id text, study_id text, claimed_instances integer, started text,
  accession_number text, description text, study_number text, referring_physician text, pushed text[])`);
const SERIES_NAMES =
  'study_instance_uid, series_instance_uid, modality, number, description, body_part, laterality, started, performed_date, performed_time, request_attributes';
const SERIES = raw(SERIES_NAMES);
const SERIES_VALUES = raw(SERIES_NAMES.replace(/\w+/g, 'n.$&'));

const SERIES_COLUMNS =
  raw(`(study_instance_uid text, series_instance_uid text, modality text, number integer, description text, body_part text,
  laterality text, started text, performed_date text, performed_time text, request_attributes text)`);
const INSTANCE_COLUMNS = raw(`(study_instance_uid text, series_instance_uid text, sop_instance_uid text, sop_class_uid text,
  transfer_syntax_uid text, number integer, title text, frames integer, digest text, locator text)`);

/** Rows of several studies at once carry their study's UID. */
export type OfStudy<T> = T & { study_instance_uid: string };

export const ofStudy = <T extends object>(study_instance_uid: string, rows: readonly T[]): OfStudy<T>[] =>
  rows.map((row) => ({ ...row, study_instance_uid }));

/** Most rows in one statement: bounds its size, a few hundred bytes a row. */
const CHUNK = 2_000;

/** Claims studies that nobody of the custodian's has claimed; returns those that are new. Parallel claimants wait for each other. */
export async function claimStudies(tx: Queryable, custodianId: string, claims: readonly Claim[]): Promise<Claim[]> {
  return tx.query<Claim & Record<string, unknown>>(sql`
    insert into study_claim (custodian_id, ${CLAIM})
    select ${custodianId}, ${CLAIM_VALUES}
    from json_to_recordset(${JSON.stringify(claims)}::json) as c ${CLAIM_COLUMNS}
    order by c.study_instance_uid
    on conflict do nothing
    returning ${CLAIM}`);
}

/** Studies that the custodian has claimed just now, and what is stored of them; what it has of endpoints, and how many of the patients are its own. */
export interface NewStudies {
  study_ids: string[];
  /** Instances that were new: fewer than given means that the index knows one of them elsewhere. */
  instances: number;
  own_patients: number;
  endpoints: string[];
  /** Whether reports wait for one of them. */
  awaited: boolean;
  /** One of them is a copy that the hub delivered. */
  copied: boolean;
}

/** Claims studies and stores the series and instances of those that nobody of the custodian's has claimed, in one statement. */
export async function storeNewStudies(
  tx: Queryable,
  custodianId: string,
  given: {
    claims: readonly Claim[];
    series: readonly OfStudy<SeriesFacts>[];
    instances: readonly OfStudy<InstanceFacts>[];
    patients: readonly string[];
    /** What they may be awaited as (`awaited_study`). */
    awaited: readonly string[];
  },
): Promise<NewStudies> {
  const { claims, series, instances, patients, awaited } = given;
  const [stored] = await tx.query<NewStudies & Record<string, unknown>>(sql`
    with claimed as (
      insert into study_claim (custodian_id, ${CLAIM})
      select ${custodianId}, ${CLAIM_VALUES}
      from json_to_recordset(${JSON.stringify(claims)}::json) as c ${CLAIM_COLUMNS}
      order by c.study_instance_uid
      on conflict do nothing
      returning study_instance_uid, study_id
    ), new_series as (
      insert into imaging_series (custodian_id, ${SERIES})
      select ${custodianId}, ${SERIES_VALUES}
      from json_to_recordset(${JSON.stringify(series)}::json) as n ${SERIES_COLUMNS} join claimed using (study_instance_uid)
      order by n.study_instance_uid, n.series_instance_uid
    ), new_instances as (
      insert into imaging_instance (custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, number, title)
      select ${custodianId}, n.sop_instance_uid, n.study_instance_uid, n.series_instance_uid, n.sop_class_uid, n.number, n.title
      from json_to_recordset(${JSON.stringify(instances)}::json) as n ${INSTANCE_COLUMNS} join claimed using (study_instance_uid)
      order by n.sop_instance_uid
      on conflict do nothing
      returning sop_instance_uid
    )
    select array(select study_id from claimed) as study_ids, (select count(*) from new_instances) as instances,
      (select count(*) from resource where type = 'Patient' and ${oneOf(raw('patient_id'), patients)} and id = patient_id
        and custodian_id = ${custodianId} and not deleted) as own_patients,
      exists (select from awaited_study where custodian_id = ${custodianId} and awaited = any(${awaited}::text[])) as awaited,
      ${areCopied(custodianId, raw('array(select study_instance_uid from claimed)'))} as copied,
      ${endpointIds(custodianId)} as endpoints`);
  if (!stored) throw new Error('no answer on new studies');
  return stored;
}

/**
 * Ids of the custodian's active endpoints as a text[] expression. They are looked for among the few resources of no patient; the token index
 * would intersect with all that is active.
 */
export const endpointIds = (
  custodianId: string,
): Sql => sql`array(select id from resource where type = 'Endpoint' and patient_id = '' and not deleted
  and ${tokenKey(`organization=Organization/${custodianId}`)} = any(tokens) and 'status=active' = any(tokens) order by id limit 10)`;

/** The claim under lock: writers of one study follow each other. */
export async function lockClaim(tx: Queryable, custodianId: string, studyInstanceUid: string): Promise<Claim | undefined> {
  const [claim] = await tx.query<Claim & Record<string, unknown>>(sql`
    select ${CLAIM} from study_claim where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid} for update`);
  return claim;
}

/** Stores what is known of a claimed study now. */
export async function updateClaim(tx: Queryable, custodianId: string, claim: Claim): Promise<void> {
  await tx.query(sql`
    update study_claim set claimed_instances = ${claim.claimed_instances}, started = ${claim.started}, accession_number = ${claim.accession_number},
      description = ${claim.description}, study_number = ${claim.study_number}, referring_physician = ${claim.referring_physician}, pushed = ${claim.pushed}
    where custodian_id = ${custodianId} and study_instance_uid = ${claim.study_instance_uid}`);
}

/** Adds series. Where parts of one disagree the lesser value stands: whatever the order they come in, the outcome is the same. */
export async function addSeries(tx: Queryable, custodianId: string, series: readonly OfStudy<SeriesFacts>[]): Promise<void> {
  for (let from = 0; from < series.length; from += CHUNK)
    await tx.query(sql`
      insert into imaging_series as s (custodian_id, ${SERIES})
      select ${custodianId}, ${SERIES_VALUES}
      from json_to_recordset(${JSON.stringify(series.slice(from, from + CHUNK))}::json) as n ${SERIES_COLUMNS}
      order by n.study_instance_uid, n.series_instance_uid
      on conflict (custodian_id, study_instance_uid, series_instance_uid) do update set
        modality = least(s.modality, excluded.modality), number = least(s.number, excluded.number),
        description = least(s.description, excluded.description), body_part = least(s.body_part, excluded.body_part),
        laterality = least(s.laterality, excluded.laterality), started = least(s.started, excluded.started),
        performed_date = least(s.performed_date, excluded.performed_date), performed_time = least(s.performed_time, excluded.performed_time),
        request_attributes = least(s.request_attributes, excluded.request_attributes)`);
}

/** Adds instances whose SOP Instance UID the custodian's index has not; returns the UIDs that are new. */
export async function addInstances(
  tx: Queryable,
  custodianId: string,
  connectorId: string | null,
  instances: readonly OfStudy<InstanceFacts>[],
): Promise<Set<string>> {
  const added = new Set<string>();
  for (let from = 0; from < instances.length; from += CHUNK) {
    const rows = await tx.query<{ uid: string }>(sql`
      insert into imaging_instance (custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, transfer_syntax_uid,
        number, title, frames, digest, connector_id, locator)
      select ${custodianId}, n.sop_instance_uid, n.study_instance_uid, n.series_instance_uid, n.sop_class_uid, n.transfer_syntax_uid,
        n.number, n.title, n.frames, n.digest, ${connectorId}, n.locator
      from json_to_recordset(${JSON.stringify(instances.slice(from, from + CHUNK))}::json) as n ${INSTANCE_COLUMNS}
      order by n.sop_instance_uid
      on conflict do nothing
      returning sop_instance_uid as uid`);
    for (const row of rows) added.add(row.uid);
  }
  return added;
}

/** An instance that was indexed before. */
export interface KnownInstance {
  sop_instance_uid: string;
  study_instance_uid: string;
  series_instance_uid: string;
  sop_class_uid: string;
  digest: string | null;
  locator: string | null;
  /** Digests of one kind of source compare: of bytes, or of metadata. */
  comparable: boolean;
  sameConnector: boolean;
}

export async function knownInstances(
  tx: Queryable,
  custodianId: string,
  connectorId: string | null,
  uids: readonly string[],
): Promise<Map<string, KnownInstance>> {
  const known = new Map<string, KnownInstance>();
  for (let from = 0; from < uids.length; from += CHUNK) {
    const rows = await tx.query<KnownInstance & Record<string, unknown>>(sql`
    select i.sop_instance_uid, i.study_instance_uid, i.series_instance_uid, i.sop_class_uid, i.digest, i.locator,
      i.connector_id is not distinct from ${connectorId}::text as "sameConnector",
      i.connector_id is not distinct from ${connectorId}::text or c.kind = (select kind from connector where id = ${connectorId}) as comparable
    from imaging_instance i left join connector c on c.id = i.connector_id
    where i.custodian_id = ${custodianId} and i.sop_instance_uid = any(${uids.slice(from, from + CHUNK)}::text[])`);
    for (const row of rows) known.set(row.sop_instance_uid, row);
  }
  return known;
}

/** Notes where known instances are found now, and what a source that saw them adds to those that were only pushed. */
export async function locateInstances(
  tx: Queryable,
  custodianId: string,
  connectorId: string | null,
  instances: readonly InstanceFacts[],
): Promise<void> {
  for (let from = 0; from < instances.length; from += CHUNK)
    await tx.query(sql`
      update imaging_instance i set digest = coalesce(i.digest, n.digest), connector_id = ${connectorId}, locator = n.locator,
        transfer_syntax_uid = coalesce(i.transfer_syntax_uid, n.transfer_syntax_uid), frames = coalesce(i.frames, n.frames),
        number = coalesce(i.number, n.number), title = coalesce(i.title, n.title)
      from json_to_recordset(${JSON.stringify(instances.slice(from, from + CHUNK))}::json) as n
        (sop_instance_uid text, transfer_syntax_uid text, number integer, title text, frames integer, digest text, locator text)
      where i.custodian_id = ${custodianId} and i.sop_instance_uid = n.sop_instance_uid`);
}

/** Everything that is indexed of one study. */
export async function studyRows(
  tx: Queryable,
  custodianId: string,
  studyInstanceUid: string,
): Promise<{ series: SeriesFacts[]; instances: InstanceFacts[] }> {
  const series = await tx.query<SeriesFacts & Record<string, unknown>>(sql`
    select ${SERIES} from imaging_series
    where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid}`);
  const instances = await tx.query<InstanceFacts & Record<string, unknown>>(sql`
    select series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, number, title, frames, digest, locator from imaging_instance
    where custodian_id = ${custodianId} and study_instance_uid = ${studyInstanceUid}`);
  return { series, instances };
}
