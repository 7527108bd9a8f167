import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The studies of a custodian are counted by the index alone: deleted ones are not in it. */
export class StudiesByCustodian1763856008000 implements MigrationInterface {
  name = 'StudiesByCustodian1763856008000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('drop index imaging_study_by_custodian');
    await runner.query(`
      create index imaging_study_by_custodian on resource_imaging_study (custodian_id, coalesce(date_from, '-infinity'::timestamptz) desc, id)
      where not deleted`);
  }

  async down(): Promise<void> {
    throw new Error('An index is not taken back: restore a backup instead.');
  }
}
