import type { Queryable } from '../../store/database.js';
import { raw, type Sql, sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';

/** What a charter or an agreement covers. A limit that is absent limits nothing; what a record does not state lies outside a limit on it. */
export interface Scope {
  modality: string[] | null;
  bodySite: string[] | null;
  purpose: string[] | null;
  /** Oldest date that is covered: now less the days agreed. */
  notBefore: Date | null;
}

/** The facts of one caller at one instant of the database, read in one statement and then put into the SQL as values. */
export interface CallerFacts {
  /** One entry for each other member of the caller's consortia: covered is what its charter and that member's own limits both cover. */
  consortia: { id: string; custodianId: string; scopes: Scope[] }[];
  agreements: { id: string; custodianId: string; scope: Scope }[];
  grants: { id: string; resources: string[] }[];
  /** Patients of the same person as the caller, when the caller is a patient. */
  patientIds: string[];
  /** Organizations that are suspended. */
  suspended: string[];
}

interface Stored {
  consortia: { id: string; custodian: string; charter: StoredScope | null; scope: StoredScope }[] | null;
  agreements: { id: string; custodian: string; scope: StoredScope }[] | null;
  grants: { id: string; resources: string[] }[] | null;
  patients: string[] | null;
  suspended: string[] | null;
}

interface StoredScope {
  modality: string[] | null;
  body_site: string[] | null;
  purpose: string[] | null;
  not_before: string | null;
}

/** Reads the caller's facts. All validity is half-open and measured by the database's now(). */
export async function loadCallerFacts(tx: Queryable, caller: Caller): Promise<CallerFacts> {
  const organization = caller.organizationId;
  const [row] = await tx.query<{ facts: Stored }>(sql`
    select jsonb_build_object(
      'consortia', (
        select jsonb_agg(jsonb_build_object('id', m.consortium_id, 'custodian', m.organization_id, 'scope', ${scopeJson('m')},
          'charter', (select ${scopeJson('c')} from consortium_charter c where c.consortium_id = m.consortium_id)))
        from consortium_member mine join consortium_member m on m.consortium_id = mine.consortium_id and m.organization_id <> mine.organization_id
        where mine.organization_id = ${organization} and mine.valid_from <= now() and now() < mine.valid_until and m.valid_from <= now() and now() < m.valid_until),
      'agreements', (
        select jsonb_agg(jsonb_build_object('id', a.id, 'custodian', a.custodian_id, 'scope', ${scopeJson('a')}))
        from sharing_agreement a where a.recipient_id = ${organization} and a.valid_from <= now() and now() < a.valid_until),
      'grants', (
        select jsonb_agg(jsonb_build_object('id', g.id, 'resources', g.resources)) from access_grant g
        where g.recipient_id = ${organization} and (g.practitioner_id is null or g.practitioner_id = ${caller.practitionerId ?? ''})
          and g.ended_at is null and g.valid_from <= now() and now() < g.valid_until),
      'patients', (
        select jsonb_agg(mate.patient_id) from cross_reference own join cross_reference mate on mate.cluster_id = own.cluster_id
        where own.patient_id = ${caller.patientId ?? ''}),
      'suspended', (select jsonb_agg(o.id) from organization o where not o.active)
    ) as facts`);
  if (!row) throw new Error('no facts');
  return toFacts(row.facts, caller);
}

const scopeJson = (alias: 'm' | 'c' | 'a'): Sql =>
  raw(`jsonb_build_object('modality', ${alias}.modality, 'body_site', ${alias}.body_site, 'purpose', ${alias}.purpose,
    'not_before', now() - make_interval(days => ${alias}.not_older_than_days))`);

function toFacts(stored: Stored, caller: Caller): CallerFacts {
  const patients = stored.patients ?? [];
  return {
    consortia: (stored.consortia ?? []).map((c) => ({ id: c.id, custodianId: c.custodian, scopes: [toScope(c.charter), toScope(c.scope)] })),
    agreements: (stored.agreements ?? []).map((a) => ({ id: a.id, custodianId: a.custodian, scope: toScope(a.scope) })),
    grants: stored.grants ?? [],
    patientIds: caller.patientId ? [...new Set([caller.patientId, ...patients])] : [],
    suspended: stored.suspended ?? [],
  };
}

function toScope(scope: StoredScope | null): Scope {
  return {
    modality: scope?.modality ?? null,
    bodySite: scope?.body_site ?? null,
    purpose: scope?.purpose ?? null,
    notBefore: scope?.not_before ? new Date(scope.not_before) : null,
  };
}
