import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The queue of scores at ten thousand jobs: an index for each order in which jobs are taken, for the jobs of a study and for what failed, all of them over open
 * jobs or few; room in each page, so that a heartbeat is an update in place; and the processes that score, with the memory that they may use.
 */
export class ScoringQueue1763856037000 implements MigrationInterface {
  name = 'ScoringQueue1763856037000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of DOWN) await runner.query(statement);
  }
}

const UP = [
  "create index if not exists scoring_job_longest on scoring_job (created) where state in ('queued', 'running')",
  "create index if not exists scoring_job_of_study on scoring_job (study_id) where state in ('queued', 'running')",
  "create index if not exists scoring_job_failed on scoring_job (custodian_id, finished) where state = 'failed'",
  "create index if not exists scoring_job_over on scoring_job (finished) where state in ('done', 'failed', 'cancelled')",
  // heartbeats touch no indexed column; vacuum runs after hundreds of changes, not after a fifth of the table
  `alter table scoring_job set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500)`,
  `create table if not exists scoring_worker (
    id text primary key,
    memory_mb integer not null,
    seen timestamptz not null default now()
  )`,
];

const DOWN = [
  'drop table scoring_worker',
  'alter table scoring_job reset (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)',
  ...['over', 'failed', 'of_study', 'longest'].map((name) => `drop index scoring_job_${name}`),
];
