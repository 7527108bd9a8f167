import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What hospitals' information systems state: which statements were taken, which records are theirs, and which patient numbers were given up for others. */
export class Statements1763856026000 implements MigrationInterface {
  name = 'Statements1763856026000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TAKEN);
    await runner.query(MERGES);
  }

  async down(): Promise<void> {
    throw new Error('Merged numbers would come apart: restore a backup instead.');
  }
}

/**
 * A statement that is said again is known by its fingerprint. `source_record` are the ids of records at their source; `awaited_study` what a report waits
 * for: `uid:` or `accession:` and the value. The message of a quarantined item is sealed.
 */
const TAKEN = `
create table taken_statement (
  connector_id text not null,
  fingerprint text not null,
  taken timestamptz not null default now(),
  primary key (connector_id, fingerprint)
);
create index taken_statement_oldest on taken_statement (taken);

create table source_record (
  connector_id text not null,
  type text not null,
  source_id text not null,
  id text not null,
  listed bigint,
  primary key (connector_id, type, source_id)
);
create index source_record_of on source_record (type, id);

create table awaited_study (
  custodian_id text not null,
  awaited text not null,
  type text not null,
  id text not null,
  primary key (custodian_id, awaited, type, id)
);
create index awaited_study_by_record on awaited_study (type, id);

alter table quarantine add column message text;
`;

/**
 * A Patient that was given up: merged into another one of the same person (all links hold for both), or a number that was moved to another patient
 * (nothing of the person goes along but denials). The survivor is never given up itself.
 */
const MERGES = `
create table patient_merge (
  retired_id text primary key,
  survivor_id text not null check (survivor_id <> retired_id),
  custodian_id text not null,
  kind text not null check (kind in ('merge', 'move')),
  merged timestamptz not null default now()
);
create index patient_merge_of_survivor on patient_merge (survivor_id);
`;
