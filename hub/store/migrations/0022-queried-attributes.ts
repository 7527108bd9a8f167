import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What QIDO-RS matches and FHIR has no place for (PS3.18 table 10.6.1-5): Study ID, Referring Physician's Name, start of the Performed Procedure
 * Step, Request Attributes; and a series by its UID alone, among all hospitals.
 */
export class QueriedAttributes1763856022000 implements MigrationInterface {
  name = 'QueriedAttributes1763856022000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table study_claim
        add column if not exists study_number text,
        add column if not exists referring_physician text`);
    await runner.query(`
      alter table imaging_series
        add column if not exists performed_date text,
        add column if not exists performed_time text,
        add column if not exists request_attributes text`);
    await runner.query('create index if not exists imaging_series_by_uid on imaging_series (series_instance_uid)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop index if exists imaging_series_by_uid');
    await runner.query(
      'alter table imaging_series drop column performed_date, drop column performed_time, drop column request_attributes',
    );
    await runner.query('alter table study_claim drop column study_number, drop column referring_physician');
  }
}
