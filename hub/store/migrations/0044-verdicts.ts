import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Physicians' words as documents need them, and more than one document of a score on its way to the archive. */
export class Verdicts1763856044000 implements MigrationInterface {
  name = 'Verdicts1763856044000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table score_verdict (
  report_id text not null,
  report_version integer not null,
  -- compressed JSON, encrypted: it holds what a physician wrote
  sealed text not null,
  created timestamptz not null default now(),
  primary key (report_id, report_version)
)`);
    await runner.query(
      'alter table result_store_job add column job_id text, add column report_version integer not null default 1',
    );
    await runner.query('update result_store_job set job_id = task_id');
    await runner.query('alter table result_store_job drop constraint result_store_job_pkey, add primary key (job_id)');
    await runner.query('create unique index result_store_job_of_report on result_store_job (report_id, report_version)');
  }

  async down(): Promise<void> {
    throw new Error('What physicians said would stand in no document any more: restore a backup instead.');
  }
}
