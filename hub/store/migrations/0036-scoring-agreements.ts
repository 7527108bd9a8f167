import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Sharing agreements that let studies be scored and show nothing of them. */
export class ScoringAgreements1763856036000 implements MigrationInterface {
  name = 'ScoringAgreements1763856036000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table sharing_agreement add column if not exists score_only boolean not null default false');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('delete from sharing_agreement where score_only');
    await runner.query('alter table sharing_agreement drop column score_only');
  }
}
