import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What an archive no longer has: its objects leave the index and stay here, with when that was found. A study of which nothing is left keeps its
 * claim, so that it is the same resource when it comes back.
 */
export class RemovedInstances1763856031000 implements MigrationInterface {
  name = 'RemovedInstances1763856031000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table if not exists removed_instance (
  id bigint generated always as identity primary key,
  custodian_id text not null,
  sop_instance_uid text not null,
  study_instance_uid text not null,
  series_instance_uid text not null,
  sop_class_uid text not null,
  transfer_syntax_uid text,
  number integer,
  title text,
  frames integer,
  digest text,
  connector_id text,
  locator text,
  first_seen timestamptz not null,
  removed timestamptz not null default now(),
  cause text not null check (cause in ('gone', 'replaced'))
)`);
    await runner.query(
      'create index if not exists removed_instance_of_study on removed_instance (custodian_id, study_instance_uid)',
    );
    await runner.query(
      "create index if not exists removed_instance_lately on removed_instance (connector_id, removed) where cause = 'gone'",
    );
    await runner.query('alter table study_claim add column if not exists removed timestamptz');
  }

  async down(): Promise<void> {
    throw new Error('What is gone from the archives would be forgotten: restore a backup instead.');
  }
}
