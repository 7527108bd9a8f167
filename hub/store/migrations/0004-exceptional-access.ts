import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Exceptional access: one person, one patient, a stated reason, a short time. A break-glass session is valid from its opening and owes a review; an
 * oversight case is valid from its confirmation by another person. `valid_from` is null until then, so that nothing compares as valid.
 * The Patients that it opens are those that the named one was linked with at the opening: whoever was told of it is all that it reaches.
 */
export class ExceptionalAccess1763856004000 implements MigrationInterface {
  name = 'ExceptionalAccess1763856004000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
create table exceptional_access (
  id text primary key,
  kind text not null check (kind in ('break-glass', 'oversight')),
  agent text not null,
  agent_name text not null,
  organization_id text not null,
  reason text not null,
  statement text not null,
  case_number text check ((kind = 'oversight') = (case_number is not null)),
  opened_at timestamptz not null default now(),
  confirmed_by text check (confirmed_by <> agent),
  confirmed_at timestamptz check ((confirmed_by is null) = (confirmed_at is null)),
  valid_from timestamptz check (kind = 'break-glass' or valid_from is null or confirmed_by is not null),
  valid_until timestamptz not null,
  ended_at timestamptz,
  ended_by text,
  review_due timestamptz check ((kind = 'break-glass') = (review_due is not null)),
  reviewed_by text check (reviewed_by <> agent),
  reviewed_at timestamptz,
  finding text check (finding in ('justified', 'not-justified')),
  review_comment text,
  suspended_until timestamptz,
  check ((reviewed_by is null) = (reviewed_at is null) and (reviewed_by is null) = (finding is null)),
  check (suspended_until is null or finding = 'not-justified')
);
create index exceptional_access_by_agent on exceptional_access (agent, opened_at desc);
create index exceptional_access_newest on exceptional_access (opened_at desc, id);
create index exceptional_access_to_review on exceptional_access (review_due) where reviewed_at is null and kind = 'break-glass';

create table exceptional_access_patient (
  access_id text not null references exceptional_access,
  patient_id text not null,
  custodian_id text not null,
  named boolean not null,
  flagged_by text,
  flagged_at timestamptz,
  flag_comment text,
  primary key (access_id, patient_id),
  check ((flagged_by is null) = (flagged_at is null))
);
create index exceptional_access_patient_by_custodian on exceptional_access_patient (custodian_id, access_id);
create index exceptional_access_patient_by_patient on exceptional_access_patient (patient_id, access_id);
`);
  }

  async down(): Promise<void> {
    throw new Error('What was opened and reviewed is not forgotten: restore a backup instead.');
  }
}
