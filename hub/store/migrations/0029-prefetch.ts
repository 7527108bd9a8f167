import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Appointments and orders before which a hospital has prior studies delivered, until that was seen to; and by which UID a copy is known again in the archive
 * that received it.
 */
export class Prefetch1763856029000 implements MigrationInterface {
  name = 'Prefetch1763856029000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table if not exists prefetch_plan (
  -- Appointment/x or ServiceRequest/x
  record text primary key,
  organization_id text not null,
  patient_id text not null,
  starts timestamptz not null,
  due timestamptz not null,
  modality text[] not null,
  body_site text[] not null,
  state text not null default 'waiting' check (state in ('waiting', 'done', 'cancelled')),
  created timestamptz not null default now(),
  settled timestamptz
)`);
    await runner.query("create index if not exists prefetch_plan_due on prefetch_plan (due) where state = 'waiting'");
    await runner.query('alter table delivery_job add column if not exists study_instance_uid text');
    await runner.query(`
update delivery_job j set study_instance_uid = c.study_instance_uid from study_claim c
where c.study_id = j.study_id and j.study_instance_uid is null`);
    await runner.query('create index if not exists delivery_job_of_study on delivery_job (recipient_id, study_instance_uid)');
  }

  async down(): Promise<void> {
    throw new Error('Appointments that wait would be forgotten: restore a backup instead.');
  }
}
