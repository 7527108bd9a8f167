import type { Queryable } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import type { Instant, Scope } from './terms.js';

/** What the fact tables say about a caller at one instant of the database. Only what is in force is here. */
export interface CallerFacts {
  now: Instant;
  /** The caller's organization is known and active. */
  active: boolean;
  /** Suspended organizations. */
  suspended: string[];
  /** Other members of the caller's consortia: what they share is limited by the charter and by the terms of their membership. */
  consortia: { consortium: string; custodian: string; charter: Scope; terms: Scope }[];
  agreements: { id: string; custodian: string; scope: Scope }[];
  grants: { id: string; custodian: string; resources: string[] }[];
  /** The Patient that a patient's login is bound to, and those of the same person. */
  patients: string[];
}

/** Reads the caller's facts in one statement. @throws Error when the database is not there: then nothing is decided. */
export async function readCallerFacts(tx: Queryable, caller: Caller): Promise<CallerFacts> {
  const { organizationId: organization, practitionerId, patientId } = caller;
  const [row] = await tx.query<{ facts: string }>(sql`
    select json_build_object(
      'now', json_build_object('text', now()::text, 'micros', (extract(epoch from now()) * 1000000)::bigint),
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
          'id', a.id, 'custodian', a.custodian_id,
          'scope', json_build_object('modality', a.modality, 'body_site', a.body_site, 'purpose', a.purpose, 'not_older_than_days', a.not_older_than_days)
        ) order by a.id), '[]')
        from sharing_agreement a join organization o on o.id = a.custodian_id and o.active
        where a.recipient_id = ${organization} and a.valid_from <= now() and now() < a.valid_until),
      'grants', (
        select coalesce(json_agg(json_build_object('id', g.id, 'custodian', g.custodian_id, 'resources', g.resources) order by g.id), '[]')
        from access_grant g join organization o on o.id = g.custodian_id and o.active
        where g.recipient_id = ${organization} and (g.practitioner_id is null or g.practitioner_id = ${practitionerId ?? null})
          and g.ended_at is null and g.valid_from <= now() and now() < g.valid_until),
      'patients', (
        select coalesce(json_agg(p.id order by p.id), '[]') from (
          select ${patientId ?? null}::text as id where ${patientId ?? null}::text is not null
          union
          select mate.patient_id from cross_reference own join cross_reference mate using (cluster_id) where own.patient_id = ${patientId ?? null}
        ) p)
    ) as facts`);
  if (!row) throw new Error('no facts');
  return JSON.parse(row.facts) as CallerFacts;
}
