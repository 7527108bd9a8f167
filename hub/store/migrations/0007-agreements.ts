import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Agreements and memberships are in force once they are signed. Those that an administrator of the hub entered before are drafts now: nobody
 * signed them, so they open nothing until somebody does.
 */
export class Agreements1763856007000 implements MigrationInterface {
  name = 'Agreements1763856007000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(SIGNATURES);
    await runner.query(DRAFTS);
  }

  async down(): Promise<void> {
    throw new Error('Signatures are not taken back: restore a backup instead.');
  }
}

/** Evidence: rows are added and ended, never deleted. */
const SIGNATURES = `
create table agreement_signature (
  id text primary key,
  agreement_id text not null,
  organization_id text not null,
  signer text not null,
  account text not null,
  signer_name text not null,
  digest text not null,
  signed_at timestamptz not null,
  jws text not null,
  ended_at timestamptz,
  ended_because text check (ended_because in ('terms-changed', 'withdrawn')),
  ended_by text,
  check ((ended_at is null) = (ended_because is null))
);
create unique index agreement_signature_open on agreement_signature (agreement_id, organization_id) where ended_at is null;
create index agreement_signature_of on agreement_signature (agreement_id, signed_at);
`;

const DRAFTS = `
delete from sharing_agreement;
delete from consortium_member;
update resource set parties = array_remove(array[
    substring(content->'organization'->>'reference' from '^Organization/([^/]+)'),
    substring(content->'participatingOrganization'->>'reference' from '^Organization/([^/]+)')], null)
  where type = 'OrganizationAffiliation' and not deleted;
`;
