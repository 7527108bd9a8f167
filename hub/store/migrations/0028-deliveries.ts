import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Deliveries of studies to the archives of other hospitals: the jobs, what became of each object, and the copies that are out there, which can't be called
 * back: each is looked at until what allowed it has ended.
 */
export class Deliveries1763856028000 implements MigrationInterface {
  name = 'Deliveries1763856028000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(DELIVERIES);
  }

  async down(): Promise<void> {
    throw new Error('Nobody would be told which copies are to be removed: restore a backup instead.');
  }
}

const DELIVERIES = `
create table delivery_job (
  task_id text primary key,
  study_id text not null,
  patient_id text not null,
  custodian_id text not null,
  recipient_id text not null,
  -- the archive that it goes to, and the recipient's own Patient that it is filed under
  connector_id text not null,
  local_patient_id text not null,
  -- Series Instance UIDs that were asked for; null: all that is opened
  series text[],
  -- in whose right it goes, as he was when he asked
  caller jsonb not null,
  address text not null,
  appointment_id text,
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
create index delivery_job_queue on delivery_job (priority, created) where state in ('queued', 'running');
create unique index delivery_job_once on delivery_job (study_id, recipient_id) where state in ('queued', 'running');
create index delivery_job_by_appointment on delivery_job (appointment_id) where appointment_id is not null;

create table delivery_instance (
  task_id text not null,
  sop_instance_uid text not null,
  series_instance_uid text not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  detail text,
  settled timestamptz,
  primary key (task_id, sop_instance_uid)
);

create table delivered_copy (
  task_id text primary key,
  study_id text not null,
  patient_id text not null,
  custodian_id text not null,
  recipient_id text not null,
  local_patient_id text not null,
  -- Series Instance UIDs of which the recipient has something
  series text[] not null,
  caller jsonb not null,
  allowed_until timestamptz,
  checked timestamptz not null default now(),
  ended_at timestamptz,
  ended_because text
);
create index delivered_copy_to_check on delivered_copy (checked) where ended_at is null;
`;
