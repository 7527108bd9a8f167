import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Scores as they were published, to the last bit: what structured reports, annotations and replays are made from. */
export class ScoreRecords1763856033000 implements MigrationInterface {
  name = 'ScoreRecords1763856033000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table score_record (
  report_id text primary key,
  provenance_id text not null unique,
  task_id text not null,
  focus text not null,
  -- compressed JSON, encrypted: it holds the patient's name as the images have it
  sealed text not null,
  created timestamptz not null default now()
)`);
    await runner.query('create index score_record_of on score_record (focus)');
  }

  async down(): Promise<void> {
    throw new Error('No published score could be replayed any more: restore a backup instead.');
  }
}
