import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Sharing agreements that look at each series of a study by itself. */
export class PartsOfStudies1763856007002 implements MigrationInterface {
  name = 'PartsOfStudies1763856007002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table sharing_agreement add column by_series boolean not null default false');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table sharing_agreement drop column by_series');
  }
}
