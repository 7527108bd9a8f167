import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Contexts that a hospital's system asked for, each for one person to open one patient with, once. The token itself is nowhere. */
export class Launches1763856029001 implements MigrationInterface {
  name = 'Launches1763856029001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table if not exists launch_context (
  -- SHA-256 of the launch token
  digest text primary key,
  organization_id text not null,
  patient_id text not null,
  account_id text not null,
  expires timestamptz not null
)`);
    await runner.query('create index if not exists launch_context_expires on launch_context (expires)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table if exists launch_context');
  }
}
