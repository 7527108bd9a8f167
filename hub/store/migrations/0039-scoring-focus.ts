import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A scoring job is about an ImagingStudy or about the DiagnosticReport of a laboratory: `study_id` is the id of either. */
export class ScoringFocus1763856039000 implements MigrationInterface {
  name = 'ScoringFocus1763856039000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
alter table scoring_job add column if not exists focus_type text not null default 'ImagingStudy'
  check (focus_type in ('ImagingStudy', 'DiagnosticReport'))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query("delete from scoring_job where focus_type <> 'ImagingStudy'");
    await runner.query('alter table scoring_job drop column focus_type');
  }
}
