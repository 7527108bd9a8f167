import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Each process that scores says which models it carries; null: one of a version that did not. */
export class CarriedModels1763856048000 implements MigrationInterface {
  name = 'CarriedModels1763856048000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table scoring_worker add column if not exists models text[]');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table scoring_worker drop column models');
  }
}
