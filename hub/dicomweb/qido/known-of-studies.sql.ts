import type { Queryable } from '../../store/database.js';
import type { FhirResource } from '../../store/search-keys.js';
import { sql } from '../../store/sql.js';
import type { RequestAttributes } from '../../../connectors/connector.js';

/** What the index knows of a study beside its resource. */
export interface KnownOfStudy {
  /** Study ID (0020,0010). */
  studyNumber: string | null;
  referringPhysician: string | null;
  /** An archive is connected that has objects of it. */
  isStored: boolean;
}

export interface KnownOfSeries {
  bodyPart: string | null;
  performedDate: string | null;
  performedTime: string | null;
  requestAttributes: RequestAttributes[];
}

export interface KnownOfInstance {
  frames: number | null;
  transferSyntaxUid: string | null;
}

export interface Custodian {
  name: string;
  /** System of its patient numbers. */
  assigner: string | null;
}

/** A custodian's study by its UIDs. */
export interface StudyKey {
  custodianId: string;
  studyInstanceUid: string;
}

export const keyOf = ({ custodianId, studyInstanceUid }: StudyKey): string => `${custodianId} ${studyInstanceUid}`;

/** What is known of studies, of their series and instances: each by its key and UID. Asked for studies that are shown, and only then told. */
export interface Known {
  custodians: ReadonlyMap<string, Custodian>;
  studies: ReadonlyMap<string, KnownOfStudy>;
  series: ReadonlyMap<string, KnownOfSeries>;
  instances: ReadonlyMap<string, KnownOfInstance>;
}

type Row = Record<string, unknown>;

/** @param level down to which it is asked. */
export async function knownOf(
  tx: Queryable,
  studies: readonly StudyKey[],
  level: 'study' | 'series' | 'instance',
): Promise<Known> {
  const given = sql`unnest(${studies.map((s) => s.custodianId)}::text[], ${studies.map((s) => s.studyInstanceUid)}::text[]) as g (custodian_id, study_instance_uid)`;
  const custodianIds = [...new Set(studies.map((s) => s.custodianId))];
  const custodians = await tx.query<Row & { id: string; name: string; assigner: string | null }>(
    sql`select id, name, assigner_system as assigner from organization where id = any(${custodianIds}::text[])`,
  );
  const ofStudies = await tx.query<Row & KnownOfStudy & { key: string }>(sql`
    select c.custodian_id || ' ' || c.study_instance_uid as key, c.study_number as "studyNumber", c.referring_physician as "referringPhysician",
      exists (select from imaging_instance i where i.custodian_id = c.custodian_id and i.study_instance_uid = c.study_instance_uid
        and i.connector_id is not null) as "isStored"
    from ${given} join study_claim c using (custodian_id, study_instance_uid)`);
  const ofSeries =
    level === 'study'
      ? []
      : await tx.query<Row & Omit<KnownOfSeries, 'requestAttributes'> & { key: string; requests: string | null }>(sql`
    select s.custodian_id || ' ' || s.study_instance_uid || ' ' || s.series_instance_uid as key, s.body_part as "bodyPart",
      s.performed_date as "performedDate", s.performed_time as "performedTime", s.request_attributes as requests
    from ${given} join imaging_series s using (custodian_id, study_instance_uid)`);
  const ofInstances =
    level !== 'instance'
      ? []
      : await tx.query<Row & KnownOfInstance & { key: string }>(sql`
    select i.custodian_id || ' ' || i.study_instance_uid || ' ' || i.sop_instance_uid as key, i.frames, i.transfer_syntax_uid as "transferSyntaxUid"
    from ${given} join imaging_instance i using (custodian_id, study_instance_uid)`);
  return {
    custodians: new Map(custodians.map(({ id, ...custodian }) => [id, custodian])),
    studies: new Map(ofStudies.map((row) => [row.key, row])),
    series: new Map(
      ofSeries.map(({ requests, ...row }) => [row.key, { ...row, requestAttributes: JSON.parse(requests ?? '[]') }]),
    ),
    instances: new Map(ofInstances.map((row) => [row.key, row])),
  };
}

/** Study Instance UID of a stored study: its first identifier. */
export const studyUidOf = (study: FhirResource): string => String(study.identifier?.[0]?.value ?? '').replace(/^urn:oid:/, '');
