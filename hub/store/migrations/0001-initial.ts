import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The first schema. Never edited once landed: changes are later migrations. */
export class Initial1763856000001 implements MigrationInterface {
  name = 'Initial1763856000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RESOURCES);
    await runner.query(IMAGING);
    await runner.query(IDENTITY);
    await runner.query(ACCESS);
    await runner.query(AUDIT);
    await runner.query(WORK);
  }

  async down(): Promise<void> {
    throw new Error('The first schema is not taken back: restore a backup instead.');
  }
}

/**
 * FHIR resources, current versions and superseded ones. Hot rows carry the key of the hospital's own Patient in their primary
 * key, so they can be partitioned or distributed by it; '' stands for "no patient". The columns beside `content` are the
 * fixed extracts that policy and search read: content itself is never evaluated in SQL. `content` holds the resource without
 * resourceType, id and meta (columns already), so that a read is a string spliced, not a tree parsed.
 */
const RESOURCES = `
create table resource (
  type text not null,
  patient_id text not null,
  id text not null,
  custodian_id text not null,
  version integer not null,
  last_updated timestamptz not null,
  deleted boolean not null default false,
  modality text[] not null,
  body_site text[] not null,
  date_from timestamptz,
  date_until timestamptz,
  labels text[] not null,
  parties text[] not null,
  tokens text[] not null,
  meta json,
  content json not null,
  primary key (type, patient_id, id)
) partition by list (type);
create table resource_imaging_study partition of resource for values in ('ImagingStudy');
create table resource_other partition of resource default;
create unique index resource_id on resource (type, id);
create index imaging_study_by_patient on resource_imaging_study (patient_id, coalesce(date_from, '-infinity'::timestamptz) desc, id);
create index imaging_study_by_custodian on resource_imaging_study (custodian_id, coalesce(date_from, '-infinity'::timestamptz) desc, id);
create index imaging_study_newest on resource_imaging_study (coalesce(date_from, '-infinity'::timestamptz) desc, id);
create index imaging_study_updated on resource_imaging_study (last_updated, id);
create index imaging_study_tokens on resource_imaging_study using gin (tokens);
create index resource_other_by_patient on resource_other (type, patient_id, coalesce(date_from, '-infinity'::timestamptz) desc, id);
create index resource_other_updated on resource_other (type, last_updated, id);
create index resource_other_tokens on resource_other using gin (tokens);

-- Rows are compressed from 512 bytes on and stay in their page: UIDs repeat within a study, and a read never goes to another table.
alter table resource_imaging_study set (toast_tuple_target = 512);
alter table resource_imaging_study alter content set storage main, alter tokens set storage main;

create table resource_history (
  type text not null,
  patient_id text not null,
  id text not null,
  custodian_id text not null,
  version integer not null,
  last_updated timestamptz not null,
  deleted boolean not null,
  modality text[] not null,
  body_site text[] not null,
  date_from timestamptz,
  labels text[] not null,
  parties text[] not null,
  meta json,
  content json not null,
  primary key (type, id, version)
);

create table name_word (
  type text not null,
  word text not null,
  id text not null,
  primary key (type, word, id)
);
create index name_word_prefix on name_word (type, word text_pattern_ops);
create index name_word_by_resource on name_word (type, id);
`;

/** What the custodians' archives hold, and what could not be taken from them. */
const IMAGING = `
create table study_claim (
  custodian_id text not null,
  study_instance_uid text not null,
  patient_id text not null,
  study_id text not null,
  first_seen timestamptz not null default now(),
  claimed_instances integer,
  started text,
  accession_number text,
  description text,
  pushed text[] not null default '{}',
  primary key (custodian_id, study_instance_uid)
);
create index study_claim_by_uid on study_claim (study_instance_uid);

create table imaging_series (
  custodian_id text not null,
  study_instance_uid text not null,
  series_instance_uid text not null,
  modality text,
  number integer,
  description text,
  body_part text,
  laterality text,
  started text,
  primary key (custodian_id, study_instance_uid, series_instance_uid)
);

create table imaging_instance (
  custodian_id text not null,
  sop_instance_uid text not null,
  study_instance_uid text not null,
  series_instance_uid text not null,
  sop_class_uid text not null,
  transfer_syntax_uid text,
  number integer,
  title text,
  frames integer,
  digest text,
  connector_id text,
  locator text,
  first_seen timestamptz not null default now(),
  primary key (custodian_id, sop_instance_uid)
);
create index imaging_instance_by_study on imaging_instance (custodian_id, study_instance_uid);

create table connector (
  id text primary key,
  organization_id text not null,
  kind text not null,
  settings jsonb not null,
  secrets bytea,
  enabled boolean not null default true,
  cursor text,
  reset integer not null default 0,
  last_success timestamptz,
  last_error text,
  last_error_at timestamptz,
  created timestamptz not null default now()
);

create table quarantine (
  id text primary key,
  custodian_id text not null,
  connector_id text,
  locator text not null,
  reason text not null,
  detail text not null,
  digest text,
  study_instance_uid text,
  series_instance_uid text,
  sop_instance_uid text,
  state text not null default 'held' check (state in ('held', 'resolved', 'discarded')),
  attempts integer not null default 1,
  first_seen timestamptz not null default now(),
  last_seen timestamptz not null default now()
);
create unique index quarantine_once on quarantine (custodian_id, connector_id, md5(locator), reason) nulls not distinct;
create index quarantine_newest on quarantine (custodian_id, first_seen desc, id);
`;

/** Who is who: a patient's key is (assigner, value); clusters join the Patients of one person and move no row. */
const IDENTITY = `
create table patient_identifier (
  system text not null,
  value text not null,
  custodian_id text not null,
  patient_id text not null,
  kind text not null check (kind in ('hospital', 'national', 'other')),
  primary key (system, value, custodian_id)
);
create index patient_identifier_by_patient on patient_identifier (patient_id);
create index patient_identifier_by_value on patient_identifier (value) where kind = 'hospital';

create table demographic_key (
  key text not null,
  patient_id text not null,
  custodian_id text not null,
  primary key (key, patient_id)
);
create index demographic_key_by_patient on demographic_key (patient_id);

create table cross_reference (
  patient_id text primary key,
  cluster_id text not null,
  linked_at timestamptz not null default now()
);
create index cross_reference_by_cluster on cross_reference (cluster_id);

create table link_decision (
  id text primary key,
  patient_a text not null,
  patient_b text not null,
  custodian_a text not null,
  custodian_b text not null,
  state text not null check (state in ('proposed', 'linked', 'rejected', 'unlinked')),
  basis text not null,
  proposed_at timestamptz not null default now(),
  accepted_by text[] not null default '{}',
  decided_by text,
  decided_at timestamptz,
  unique (patient_a, patient_b),
  check (patient_a < patient_b)
);
create index link_decision_by_b on link_decision (patient_b);
create index link_decision_of_a on link_decision (custodian_a, id desc);
create index link_decision_of_b on link_decision (custodian_b, id desc);

create table patient_registration (
  organization_id text not null,
  patient_id text not null,
  own boolean not null default false,
  primary key (organization_id, patient_id)
);
create index patient_registration_by_patient on patient_registration (patient_id);
`;

/** The facts that policy decides on, each with half-open validity. Casbin holds the rules, these tables the facts. */
const ACCESS = `
create table organization (
  id text primary key,
  kind text not null check (kind in ('commission', 'consortium', 'hospital', 'other')),
  name text not null,
  assigner_system text unique,
  active boolean not null default true
);

create table consortium_member (
  affiliation_id text primary key,
  consortium_id text not null,
  organization_id text not null,
  modality text[],
  body_site text[],
  purpose text[],
  not_older_than_days integer,
  valid_from timestamptz not null default '-infinity',
  valid_until timestamptz not null default 'infinity'
);
create index consortium_member_by_organization on consortium_member (organization_id);

create table consortium_charter (
  consortium_id text primary key,
  modality text[],
  body_site text[],
  purpose text[],
  not_older_than_days integer
);

create table sharing_agreement (
  id text primary key,
  custodian_id text not null,
  recipient_id text not null,
  modality text[],
  body_site text[],
  purpose text[],
  not_older_than_days integer,
  valid_from timestamptz not null default '-infinity',
  valid_until timestamptz not null default 'infinity'
);
create index sharing_agreement_by_recipient on sharing_agreement (recipient_id);

create table access_grant (
  id text primary key,
  task_id text not null,
  custodian_id text not null,
  recipient_id text not null,
  practitioner_id text,
  patient_id text not null,
  resources text[] not null,
  valid_from timestamptz not null,
  valid_until timestamptz not null default 'infinity',
  granted_by text not null,
  ended_at timestamptz,
  ended_because text
);
create index access_grant_by_recipient on access_grant (recipient_id);
create index access_grant_by_task on access_grant (task_id);

create table consent_rule (
  consent_id text not null,
  patient_id text not null,
  consent_version integer not null,
  provision text not null,
  decision text not null check (decision in ('permit', 'deny')),
  actor text[],
  purpose text[],
  valid_from timestamptz not null default '-infinity',
  valid_until timestamptz not null default 'infinity',
  primary key (consent_id, patient_id, provision)
);
create index consent_rule_by_patient on consent_rule (patient_id);

-- One row whose name changes in each transaction that changes who may share with whom: facts that a process remembers hold while a snapshot
-- shows the name that they were read under. Names are never used twice, not even after a rollback.
create table fact_epoch (
  single boolean primary key default true check (single),
  epoch uuid not null default gen_random_uuid()
);
insert into fact_epoch default values;
create function next_fact_epoch() returns trigger language plpgsql as $$
begin
  update fact_epoch set epoch = gen_random_uuid();
  return null;
end $$;
create trigger next_fact_epoch after insert or update or delete or truncate on organization execute function next_fact_epoch();
create trigger next_fact_epoch after insert or update or delete or truncate on consortium_member execute function next_fact_epoch();
create trigger next_fact_epoch after insert or update or delete or truncate on consortium_charter execute function next_fact_epoch();
create trigger next_fact_epoch after insert or update or delete or truncate on sharing_agreement execute function next_fact_epoch();
create trigger next_fact_epoch after insert or update or delete or truncate on access_grant execute function next_fact_epoch();

create table client (
  id text primary key,
  organization_id text not null,
  name text not null,
  jwks jsonb,
  jwks_uri text,
  roles text[] not null,
  scope text not null,
  enabled boolean not null default true,
  created timestamptz not null default now()
);

create table used_jti (
  client_id text not null,
  jti text not null,
  expires timestamptz not null,
  primary key (client_id, jti)
);

create table account (
  id text primary key,
  issuer text not null,
  subject text not null,
  name text not null,
  organization_id text,
  practitioner_id text,
  patient_id text,
  roles text[] not null,
  enabled boolean not null default true,
  unique (issuer, subject)
);

create table hub_secret (
  name text primary key,
  value jsonb not null,
  created timestamptz not null default now()
);
`;

/** Append-only and narrow, in monthly partitions; AuditEvent is a projection of it. */
const AUDIT = `
create table audit_event (
  id bigint generated always as identity,
  recorded timestamptz not null,
  type text not null,
  subtype text not null,
  action char(1) not null,
  outcome smallint not null,
  agent text not null,
  agent_name text,
  organization_id text,
  role text,
  purpose text,
  client_id text,
  patient_id text not null default '',
  entity text[] not null default '{}',
  custodian_id text,
  query text,
  basis text,
  rule text,
  evidence jsonb,
  detail text,
  concealed boolean not null default false,
  request_id text not null,
  address text,
  primary key (recorded, id)
) partition by range (recorded);
create table audit_event_default partition of audit_event default;
create index audit_event_by_patient on audit_event (patient_id, recorded desc);
create index audit_event_by_agent on audit_event (agent, recorded desc);
create index audit_event_by_organization on audit_event (organization_id, recorded desc);
create index audit_event_by_custodian on audit_event (custodian_id, recorded desc);

create function audit_event_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'audit_event is append-only';
end $$;
create trigger audit_event_append_only before update or delete on audit_event
  for each row execute function audit_event_is_append_only();
create trigger audit_event_no_truncate before truncate on audit_event
  for each statement execute function audit_event_is_append_only();
create trigger audit_event_no_truncate before truncate on audit_event_default
  for each statement execute function audit_event_is_append_only();
`;

/** Work that outlives a request: scoring jobs with a lease, and events to deliver. */
const WORK = `
create table scoring_job (
  task_id text primary key,
  study_id text not null,
  patient_id text not null,
  custodian_id text not null,
  requester_id text not null,
  study_version integer not null,
  automatic boolean not null default false,
  model text not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
  priority integer not null default 100,
  run_after timestamptz not null default now(),
  lease_until timestamptz,
  lease_owner text,
  attempts integer not null default 0,
  last_error text,
  created timestamptz not null default now(),
  finished timestamptz
);
create index scoring_job_queue on scoring_job (priority, created) where state in ('queued', 'running');
create unique index scoring_job_once_a_version on scoring_job (study_id, model, study_version) where automatic;

create table outbox (
  id bigint generated always as identity primary key,
  topic text not null,
  organization_id text,
  payload jsonb not null,
  created timestamptz not null default now(),
  attempts integer not null default 0,
  run_after timestamptz not null default now(),
  delivered timestamptz,
  last_error text
);
create index outbox_pending on outbox (run_after) where delivered is null;
`;
