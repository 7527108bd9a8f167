import type { Queryable } from '../../store/database.js';
import { matesOf } from '../../store/cluster.sql.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import { type Majority, wards } from '../guardians/guardianships.sql.js';
import type { Scope } from './terms.js';

/** What the fact tables say about a caller at one instant of the database. Only what is in force is here. */
export interface CallerFacts {
  /** The state of the fact tables that this was read from: every transaction that changes one of them, or the policy, gives it a new name. */
  epoch: string;
  /** The epoch of the policy that is in force in this state; null: none is, and nothing is decided. */
  policyEpoch: number | null;
  /** In force as they are from this instant to that one, excluded: microseconds since 1970; null: until a table changes. */
  from: number;
  until: number | null;
  /** The caller's organization is known and active. */
  active: boolean;
  /** Suspended organizations. */
  suspended: string[];
  /** Other members of the caller's consortia: what they share is limited by the charter and by the terms of their membership. */
  consortia: { consortium: string; custodian: string; charter: Scope; terms: Scope }[];
  agreements: { id: string; custodian: string; scope: Scope; bySeries: boolean; scoreOnly: boolean }[];
  grants: { id: string; custodian: string; resources: string[] }[];
  /** The Patient that a patient's login is bound to, and those of the same person. */
  patients: string[];
  /** Patients whose guardian the login is, with the RelatedPerson that says so. */
  wards: { id: string; patient: string }[];
  /** The exceptional access that the caller's token names, if it is his and open; `patients` are those that it opens. */
  opened: { id: string; kind: 'break-glass' | 'oversight'; caseNumber: string | null; patients: string[] } | null;
}

/** Columns that say, of a statement's snapshot, which state of the fact tables and of the policy it sees and at what instant. */
export const factStamp: Sql = raw(`
  (select epoch from fact_epoch) as fact_epoch, (extract(epoch from now()) * 1000000)::bigint as fact_instant`);

export interface FactStamp {
  fact_epoch: string | null;
  fact_instant: number;
}

/** Whether facts that were read before are, in the snapshot of this stamp, still what would be read. */
export const stillHold = ({ epoch, from, until }: CallerFacts, { fact_epoch, fact_instant }: FactStamp): boolean =>
  epoch === fact_epoch && from <= fact_instant && (until === null || fact_instant < until);

/** The first instant after now at which the validity of something begins or ends that names the organization. */
const nextBoundary = (organization: string): Sql => sql`
  select (extract(epoch from min(b.at)) * 1000000)::bigint from (
    select unnest(array[m.valid_from, m.valid_until]) as at from consortium_member m
    where m.consortium_id in (select consortium_id from consortium_member where organization_id = ${organization})
    union all
    select unnest(array[a.valid_from, a.valid_until]) from sharing_agreement a where a.recipient_id = ${organization}
    union all
    select unnest(array[g.valid_from, g.valid_until]) from access_grant g where g.recipient_id = ${organization} and g.ended_at is null
  ) b where b.at > now() and isfinite(b.at)`;

/**
 * What the token's exceptional access opens at this instant: the Patients that were named, and those that were linked with one of them
 * when it was opened and still are.
 */
const openedBy = ({ id, organizationId, exceptionalAccess }: Caller): Sql => sql`
  select json_build_object('id', x.id, 'kind', x.kind, 'caseNumber', x.case_number, 'patients', (
    select coalesce(json_agg(o.patient_id order by o.patient_id), '[]') from exceptional_access_patient o
    where o.access_id = x.id and (o.named or exists (
      select from exceptional_access_patient n
      join cross_reference own on own.patient_id = n.patient_id join cross_reference mate on mate.cluster_id = own.cluster_id
      where n.access_id = x.id and n.named and mate.patient_id = o.patient_id))))
  from exceptional_access x
  where x.id = ${exceptionalAccess ?? null} and x.agent = ${id} and x.organization_id = ${organizationId}
    and x.ended_at is null and x.valid_from <= now() and now() < x.valid_until`;

/** Reads the caller's facts in one statement. @throws Error when the database is not there: then nothing is decided. */
export async function readCallerFacts(tx: Queryable, caller: Caller, majority: Majority): Promise<CallerFacts> {
  const { organizationId: organization, practitionerId, patientId } = caller;
  const [row] = await tx.query<{ facts: string }>(sql`
    select json_build_object(
      'epoch', (select epoch from fact_epoch),
      'policyEpoch', (select policy_epoch from fact_epoch),
      'from', (extract(epoch from now()) * 1000000)::bigint,
      'until', (${nextBoundary(organization)}),
      'active', exists (select from organization where id = ${organization} and active),
      'suspended', (select coalesce(json_agg(id), '[]') from organization where not active),
      'consortia', (
        select coalesce(json_agg(json_build_object(
          'consortium', k.id, 'custodian', other.organization_id,
          'charter', json_build_object('modality', ch.modality, 'body_site', ch.body_site, 'purpose', ch.purpose, 'not_older_than_days', ch.not_older_than_days),
          'terms', json_build_object('modality', other.modality, 'body_site', other.body_site, 'purpose', other.purpose, 'not_older_than_days', other.not_older_than_days)
        ) order by k.id, other.organization_id), '[]')
        from consortium_member own
        join organization k on k.id = own.consortium_id and k.active
        join consortium_charter ch on ch.consortium_id = k.id
        join consortium_member other on other.consortium_id = k.id and other.organization_id <> own.organization_id
        join organization o on o.id = other.organization_id and o.active
        where own.organization_id = ${organization}
          and own.valid_from <= now() and now() < own.valid_until and other.valid_from <= now() and now() < other.valid_until),
      'agreements', (
        select coalesce(json_agg(json_build_object(
          'id', a.id, 'custodian', a.custodian_id, 'bySeries', a.by_series, 'scoreOnly', a.score_only,
          'scope', json_build_object('modality', a.modality, 'body_site', a.body_site, 'purpose', a.purpose, 'not_older_than_days', a.not_older_than_days)
        ) order by a.id), '[]')
        from sharing_agreement a join organization o on o.id = a.custodian_id and o.active
        where a.recipient_id = ${organization} and a.valid_from <= now() and now() < a.valid_until),
      'grants', (
        select coalesce(json_agg(json_build_object('id', g.id, 'custodian', g.custodian_id, 'resources', g.resources) order by g.id), '[]')
        from access_grant g join organization o on o.id = g.custodian_id and o.active
        where g.recipient_id = ${organization} and (g.practitioner_id is null or g.practitioner_id = ${practitionerId ?? null})
          and g.ended_at is null and g.valid_from <= now() and now() < g.valid_until),
      'wards', (select coalesce(json_agg(w order by w.patient, w.id), '[]') from (${wards(caller.relatedPersons ?? [], majority)}) w),
      'patients', (
        select coalesce(json_agg(p.id order by p.id), '[]') from (
          select ${patientId ?? null}::text as id where ${patientId ?? null}::text is not null
          union
          ${matesOf(sql`= ${patientId ?? null}`)}
        ) p),
      'opened', (${openedBy(caller)})
    ) as facts`);
  if (!row) throw new Error('no facts');
  return JSON.parse(row.facts) as CallerFacts;
}
