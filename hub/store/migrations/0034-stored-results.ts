import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Structured reports that go to the archive of their custodian, and on scoring jobs what of a study they were placed for: a report that comes back into the
 * index with its study is no reason to score it again.
 */
export class StoredResults1763856034000 implements MigrationInterface {
  name = 'StoredResults1763856034000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table result_store_job (
  task_id text primary key,
  report_id text not null,
  study_id text not null,
  patient_id text not null,
  custodian_id text not null,
  sop_instance_uid text not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
  priority integer not null default 100,
  run_after timestamptz not null default now(),
  lease_until timestamptz,
  lease_owner text,
  attempts integer not null default 0,
  last_error text,
  created timestamptz not null default now(),
  finished timestamptz
)`);
    await runner.query(
      "create index result_store_job_queue on result_store_job (priority, created) where state in ('queued', 'running')",
    );
    await runner.query('create index result_store_job_of_study on result_store_job (study_id)');
    await runner.query('alter table scoring_job add column if not exists content_digest text');
  }

  async down(): Promise<void> {
    throw new Error('Reports that wait would never reach their archive: restore a backup instead.');
  }
}
