import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Copies of other hospitals' objects that were found in a hospital's archive by the mark that they carry, and of which no delivery is on record: after a
 * restore, say. What an archive may have got of deliveries that did not come to their end is looked at again.
 */
export class FoundCopies1763856047000 implements MigrationInterface {
  name = 'FoundCopies1763856047000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('Copies would become studies of the hospitals that have them: restore a backup instead.');
  }
}

const UP = [
  // copy_of: the custodian, as the objects state it
  `create table found_copy (
    custodian_id text not null,
    sop_instance_uid text not null,
    study_instance_uid text not null,
    connector_id text,
    copy_of text not null,
    first_seen timestamptz not null default now(),
    primary key (custodian_id, sop_instance_uid)
  )`,
  'create index found_copy_by_study on found_copy (custodian_id, study_instance_uid)',
  'create index delivery_job_by_study on delivery_job (recipient_id, study_instance_uid)',
  'alter table removed_instance drop constraint if exists removed_instance_cause_check',
  `alter table removed_instance add constraint removed_instance_cause_check check (cause in ('gone', 'replaced', 'copy'))`,
  `insert into source_look (connector_id, study_instance_uid)
  select distinct i.connector_id, i.study_instance_uid from delivery_job j
  join imaging_instance i on i.custodian_id = j.recipient_id and i.study_instance_uid = j.study_instance_uid
  where i.connector_id is not null on conflict do nothing`,
];
