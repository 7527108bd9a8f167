import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What became of each scoring job, and what physicians said of the reports: narrow facts for figures. No patient, no text: those stand in the
 * resources, which are encrypted where they have to be.
 */
export class ScoringResults1763856035000 implements MigrationInterface {
  name = 'ScoringResults1763856035000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table if not exists scoring_result (
  task_id text primary key,
  report_id text unique,
  focus_type text not null check (focus_type in ('ImagingStudy', 'DiagnosticReport')),
  study_id text not null,
  study_version integer not null,
  custodian_id text not null,
  requester_id text not null,
  model text not null,
  model_version text not null,
  outcome text not null check (outcome in ('scored', 'not-applicable', 'failed')),
  positive boolean,
  score double precision,
  findings integer,
  requested timestamptz not null,
  ended timestamptz not null default now(),
  superseded_by text,
  superseded_at timestamptz,
  check ((outcome = 'scored') = (report_id is not null and positive is not null and findings is not null)),
  check ((superseded_by is null) = (superseded_at is null))
)`);
    await runner.query('create index if not exists scoring_result_of_study on scoring_result (study_id, model)');
    await runner.query('create index if not exists scoring_result_by_time on scoring_result (ended)');
    await runner.query(`
create table if not exists scoring_review (
  report_id text not null references scoring_result (report_id),
  report_version integer not null,
  reviewed_version integer not null,
  decision text not null check (decision in ('accept', 'correct', 'reject')),
  reason text not null,
  reviewer text not null,
  organization_id text not null,
  positive boolean not null,
  findings_removed integer not null default 0,
  findings_added integer not null default 0,
  findings_changed integer not null default 0,
  values_changed integer not null default 0,
  reviewed timestamptz not null default now(),
  primary key (report_id, report_version)
)`);
  }

  async down(): Promise<void> {
    throw new Error('The reviews of physicians would be forgotten: restore a backup instead.');
  }
}
