import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Records that their source has no longer: since when, so that one that comes back is the same, and that a source which loses much is noticed. */
export class RecordsGone1763856042000 implements MigrationInterface {
  name = 'RecordsGone1763856042000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table source_record add column if not exists gone timestamptz');
    await runner.query(
      'create index if not exists source_record_gone on source_record (connector_id, gone) where gone is not null',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop index if exists source_record_gone');
    await runner.query('alter table source_record drop column if exists gone');
  }
}
