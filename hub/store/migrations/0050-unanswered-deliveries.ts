import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Objects of deliveries that left and were not answered; and what failed for good, which every look at the metrics counts. */
export class UnansweredDeliveries1763856050000 implements MigrationInterface {
  name = 'UnansweredDeliveries1763856050000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('Copies that may be there would be forgotten: restore a backup instead.');
  }
}

const UP = [
  'alter table delivery_instance add column if not exists unanswered boolean not null default false',
  "create index if not exists delivery_job_failed on delivery_job (recipient_id) where state = 'failed'",
  "create index if not exists result_store_job_failed on result_store_job (custodian_id) where state = 'failed'",
];
