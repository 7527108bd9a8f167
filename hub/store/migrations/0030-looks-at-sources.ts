import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Studies that are to be looked at again at their source, because something there may have changed or gone. */
export class LooksAtSources1763856030000 implements MigrationInterface {
  name = 'LooksAtSources1763856030000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table if not exists source_look (
  connector_id text not null,
  study_instance_uid text not null,
  noted timestamptz not null default clock_timestamp(),
  due timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  confirmed boolean not null default false,
  primary key (connector_id, study_instance_uid)
)`);
    await runner.query('alter table connector add column if not exists backlog integer');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table source_look');
    await runner.query('alter table connector drop column backlog');
  }
}
