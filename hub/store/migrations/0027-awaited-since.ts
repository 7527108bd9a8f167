import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Since when a report waits for its study: those that are missed are looked for again for a while. */
export class AwaitedSince1763856027000 implements MigrationInterface {
  name = 'AwaitedSince1763856027000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table awaited_study add column if not exists since timestamptz not null default now()');
    await runner.query('create index if not exists awaited_study_since on awaited_study (since)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('alter table awaited_study drop column since');
  }
}
