import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Guardians on record, and the logins that are bound to these records. */
export class Guardians1763856007001 implements MigrationInterface {
  name = 'Guardians1763856007001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table guardianship (
  related_person_id text primary key,
  patient_id text not null,
  custodian_id text not null,
  kind text not null check (kind in ('parent', 'guardian')),
  valid_from timestamptz not null default '-infinity',
  valid_until timestamptz not null default 'infinity'
);
create index guardianship_by_patient on guardianship (patient_id);
alter table account add column related_persons text[] not null default '{}';
`);
  }

  async down(): Promise<void> {
    throw new Error('Guardians are not taken back: restore a backup instead.');
  }
}
