import type { ResourceRow } from '../../store/resources.js';
import { and, or, raw, type Sql, sql } from '../../store/sql.js';
import type { Caller } from '../caller.js';
import type { Evidence } from '../decision.js';
import type { CallerFacts, Scope } from './caller-facts.js';
import { consentDenies, type ConsentEvidence, consentDeniesSql } from './consent-decision.js';

/** What is known of a record beside its row. */
export interface RowEvidence {
  /** The patient is registered with the caller's organization. */
  registered: boolean;
  /** Consent rules of the patient that are valid now. */
  consents: ConsentEvidence[];
}

export interface Situation {
  caller: Caller;
  facts: CallerFacts;
  /** Purposes that need the patient's permit. */
  optIn: readonly string[];
}

/**
 * One thing that can hold between a caller and a record, said twice: as JavaScript for one row with its evidence, and as SQL on alias `r`.
 * `evidence` names the facts that make it hold.
 */
export interface BasisTerm {
  holds(s: Situation, row: ResourceRow, known: RowEvidence): boolean;
  sql(s: Situation): Sql;
  evidence?(s: Situation, row: ResourceRow, known: RowEvidence): Evidence[];
}

const REGISTRY = ['Organization', 'OrganizationAffiliation', 'Endpoint', 'Practitioner', 'PractitionerRole', 'Device'];
/** What consortia and agreements share. Tasks, orders and consents stay with those who are a party to them. */
const SHARED = ['ImagingStudy', 'DiagnosticReport', 'Observation', 'Patient'];
const PARTY = ['Task', 'ServiceRequest', 'DiagnosticReport', 'Observation'];
/** What a registered patient's hospital may learn the existence of. */
const KNOWABLE = ['ImagingStudy', 'DiagnosticReport', 'Patient'];
/** Clinical content, that a consent or a label stops. */
const GUARDED = ['ImagingStudy', 'DiagnosticReport', 'Observation', 'Patient', 'Provenance'];
/** Confidentiality of HL7 v3 that only the custodian's own people and the patient read: restricted, very restricted. */
const RESTRICTED = ['R', 'V'].map((code) => `http://terminology.hl7.org/CodeSystem/v3-Confidentiality|${code}`);

const typeIn = (types: readonly string[]): Sql => sql`r.type = any(${types}::text[])`;

export const bases: Readonly<Record<string, BasisTerm>> = {
  own: {
    holds: ({ caller }, row) => caller.organizationId !== '' && row.custodian_id === caller.organizationId,
    sql: ({ caller }) => (caller.organizationId ? sql`r.custodian_id = ${caller.organizationId}` : raw('false')),
    evidence: (_, row) => [{ kind: 'custodian', id: row.custodian_id }],
  },
  'own-patient': {
    holds: (s, row, known) => row.type === 'Patient' && term('own').holds(s, row, known),
    sql: (s) => sql`(r.type = 'Patient' and ${term('own').sql(s)})`,
  },
  party: {
    holds: ({ caller }, row) => caller.organizationId !== '' && PARTY.includes(row.type) && row.parties.includes(caller.organizationId),
    sql: ({ caller }) => (caller.organizationId ? sql`(${typeIn(PARTY)} and r.parties @> array[${caller.organizationId}]::text[])` : raw('false')),
  },
  registered: {
    holds: (_, row, known) => KNOWABLE.includes(row.type) && known.registered,
    sql: (s) => sql`(${typeIn(KNOWABLE)} and ${registeredSql(s)})`,
  },
  consortium: {
    holds: (s, row, known) => SHARED.includes(row.type) && known.registered && consortiaOf(s, row).length > 0,
    sql: (s) => {
      const branches = s.facts.consortia.map((c) => and([sql`r.custodian_id = ${c.custodianId}`, ...c.scopes.map((scope) => scopeSql(scope, s.caller))]));
      return branches.length === 0 ? raw('false') : and([typeIn(SHARED), or(branches), registeredSql(s)]);
    },
    evidence: (s, row) => consortiaOf(s, row).map((c) => ({ kind: 'consortium', id: c.id })),
  },
  agreement: {
    holds: (s, row) => SHARED.includes(row.type) && agreementsOf(s, row).length > 0,
    sql: (s) => {
      const branches = s.facts.agreements.map((a) => and([sql`r.custodian_id = ${a.custodianId}`, scopeSql(a.scope, s.caller)]));
      return branches.length === 0 ? raw('false') : and([typeIn(SHARED), or(branches)]);
    },
    evidence: (s, row) => agreementsOf(s, row).map((a) => ({ kind: 'agreement', id: a.id })),
  },
  grant: {
    holds: (s, row) => grantsOf(s, row).length > 0,
    sql: ({ facts }) => {
      const references = facts.grants.flatMap((g) => g.resources);
      if (references.length === 0) return raw('false');
      const ids = references.map((r) => r.split('/')[1] ?? '');
      return sql`(r.id = any(${ids}::text[]) and r.type || '/' || r.id = any(${references}::text[]))`;
    },
    evidence: (s, row) => grantsOf(s, row).map((g) => ({ kind: 'grant', id: g.id })),
  },
  patient: {
    holds: ({ facts }, row) => row.patient_id !== '' && facts.patientIds.includes(row.patient_id),
    sql: ({ facts }) => (facts.patientIds.length > 0 ? sql`(r.patient_id <> '' and r.patient_id = any(${facts.patientIds}::text[]))` : raw('false')),
    evidence: (_, row) => [{ kind: 'patient', id: row.patient_id }],
  },
  directory: {
    holds: (_, row) => REGISTRY.includes(row.type),
    sql: () => typeIn(REGISTRY),
  },
  general: {
    holds: () => false,
    sql: () => raw('false'),
  },
  'consent-denied': {
    holds: (s, row, known) => GUARDED.includes(row.type) && isForeign(s, row, known) && consentDenies(s, known.consents),
    sql: (s) => and([typeIn(GUARDED), foreignSql(s), consentDeniesSql(s)]),
    evidence: (s, _, known) => known.consents.filter((c) => c.decision === 'deny').map((c) => ({ kind: 'consent', id: c.id, version: c.version, provision: c.provision })),
  },
  label: {
    holds: (s, row, known) => GUARDED.includes(row.type) && isForeign(s, row, known) && row.labels.some((l) => RESTRICTED.includes(l)),
    sql: (s) => and([typeIn(GUARDED), foreignSql(s), sql`r.labels && ${RESTRICTED}::text[]`]),
  },
  suspended: {
    holds: ({ caller, facts }, row) =>
      facts.suspended.length > 0 && row.custodian_id !== caller.organizationId && (facts.suspended.includes(row.custodian_id) || facts.suspended.includes(caller.organizationId)),
    sql: ({ caller, facts }) => {
      if (facts.suspended.length === 0) return raw('false');
      const self = facts.suspended.includes(caller.organizationId);
      return and([sql`r.custodian_id <> ${caller.organizationId}`, self ? raw('true') : sql`r.custodian_id = any(${facts.suspended}::text[])`]);
    },
  },
};

export const term = (name: string): BasisTerm => {
  const found = bases[name];
  if (!found) throw new Error(`unknown basis ${name}`);
  return found;
};

/** Disclosure across organizations: not the custodian's own use, not the patient's, not between the parties of a referral. */
function isForeign(s: Situation, row: ResourceRow, known: RowEvidence): boolean {
  return !term('own').holds(s, row, known) && !term('patient').holds(s, row, known) && !term('party').holds(s, row, known);
}

const foreignSql = (s: Situation): Sql => sql`not (${or([term('own').sql(s), term('patient').sql(s), term('party').sql(s)])})`;

const registeredSql = ({ caller }: Situation): Sql =>
  caller.organizationId
    ? sql`exists (select 1 from patient_registration pr where pr.patient_id = r.patient_id and pr.organization_id = ${caller.organizationId})`
    : raw('false');

const consortiaOf = ({ facts, caller }: Situation, row: ResourceRow) => facts.consortia.filter((c) => c.custodianId === row.custodian_id && c.scopes.every((scope) => covers(scope, row, caller)));
const agreementsOf = ({ facts, caller }: Situation, row: ResourceRow) => facts.agreements.filter((a) => a.custodianId === row.custodian_id && covers(a.scope, row, caller));
const grantsOf = ({ facts }: Situation, row: ResourceRow) => facts.grants.filter((g) => g.resources.includes(`${row.type}/${row.id}`));

/** A record is covered when each limit covers all that it states; what it does not state lies outside. */
function covers(scope: Scope, row: ResourceRow, caller: Caller): boolean {
  const within = (limit: string[] | null, values: string[]): boolean => limit === null || (values.length > 0 && values.every((v) => limit.includes(v)));
  if (scope.purpose !== null && !scope.purpose.includes(caller.purposeOfUse)) return false;
  if (scope.notBefore !== null && !(row.date_from !== null && row.date_from >= scope.notBefore)) return false;
  return within(scope.modality, row.modality) && within(scope.bodySite, row.body_site);
}

function scopeSql(scope: Scope, caller: Caller): Sql {
  const within = (limit: string[] | null, column: Sql): Sql => (limit === null ? raw('true') : sql`(cardinality(${column}) > 0 and ${column} <@ ${limit}::text[])`);
  if (scope.purpose !== null && !scope.purpose.includes(caller.purposeOfUse)) return raw('false');
  return and([
    within(scope.modality, raw('r.modality')),
    within(scope.bodySite, raw('r.body_site')),
    scope.notBefore === null ? raw('true') : sql`r.date_from >= ${scope.notBefore}`,
  ]);
}

/** The one json column that `decide` needs beside the row. */
export const evidenceSql = (s: Situation): Sql => sql`json_build_object('registered', ${registeredSql(s)}, 'consents', (
  select json_agg(json_build_object('id', c.consent_id, 'version', c.consent_version, 'provision', c.provision, 'decision', c.decision, 'actor', c.actor, 'purpose', c.purpose))
  from consent_rule c where c.patient_id = r.patient_id and c.valid_from <= now() and now() < c.valid_until)) as evidence`;
