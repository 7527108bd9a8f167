import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who asked for a score, so that his right is looked at again when the job begins; none where a rule of the custodian did. */
export class ScoringCaller1763856040000 implements MigrationInterface {
  name = 'ScoringCaller1763856040000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table scoring_job add column if not exists caller jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table scoring_job drop column if exists caller');
  }
}
