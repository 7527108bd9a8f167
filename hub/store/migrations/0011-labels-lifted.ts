import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Whether a rule that permits by label lifts the label where it stands. What a hospital said of its own Patient does not at another hospital's: those copies
 * are found by the mark of who gave the Consent.
 */
export class LabelsLifted1763856011000 implements MigrationInterface {
  name = 'LabelsLifted1763856011000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table consent_rule add column lifts boolean not null default true');
    await runner.query(`
update consent_rule c set lifts = false from resource r, resource p
where r.type = 'Consent' and r.id = c.consent_id and r.patient_id <> c.patient_id
  and p.type = 'Patient' and p.id = c.patient_id and p.custodian_id <> r.custodian_id
  and coalesce(r.meta->>'source', '') not like '%/source/patient' and coalesce(r.meta->>'source', '') not like '%/source/guardian'`);
  }

  async down(): Promise<void> {
    throw new Error('Labels would be lifted by who may not: restore a backup instead.');
  }
}
