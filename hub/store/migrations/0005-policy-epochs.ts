import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Epochs of the access policy. Each is a whole policy, never changed; the newest is in force from the commit that adds it, in every process:
 * its number stands in the row that tells the state of the fact tables, which each request reads in its own snapshot.
 */
export class PolicyEpochs1763856005000 implements MigrationInterface {
  name = 'PolicyEpochs1763856005000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(EPOCHS);
    await runner.query(PROPOSALS);
    await runner.query(REPLAY);
  }

  async down(): Promise<void> {
    throw new Error('Decisions that were made under an epoch need it: restore a backup instead.');
  }
}

const EPOCHS = `
create table policy_epoch (
  number integer primary key,
  digest text not null,
  model text not null,
  rules text not null,
  examples json not null,
  superseded json not null,
  vocabulary json not null,
  note text not null,
  restores integer references policy_epoch,
  proposed_by text not null,
  published_by text not null,
  published timestamptz not null default now()
);
alter table fact_epoch add column policy_epoch integer references policy_epoch;

create function policy_epoch_takes_force() returns trigger language plpgsql as $$
begin
  update fact_epoch set epoch = gen_random_uuid(), policy_epoch = new.number;
  perform pg_notify('policy_epoch', new.number::text);
  return null;
end $$;
create trigger policy_epoch_takes_force after insert on policy_epoch for each row execute function policy_epoch_takes_force();

create function policy_epoch_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'policy_epoch is append-only';
end $$;
create trigger policy_epoch_append_only before update or delete on policy_epoch for each row execute function policy_epoch_is_append_only();
create trigger policy_epoch_no_truncate before truncate on policy_epoch for each statement execute function policy_epoch_is_append_only();
`;

/** What one person proposes and another publishes; `base` is the epoch that it was made against. */
const PROPOSALS = `
create table policy_proposal (
  id text primary key,
  base integer not null references policy_epoch,
  digest text not null,
  model text not null,
  rules text not null,
  examples json not null,
  superseded json not null,
  note text not null,
  restores integer references policy_epoch,
  proposed_by text not null,
  proposed timestamptz not null default now(),
  state text not null default 'open' check (state in ('open', 'published', 'withdrawn')),
  decided_by text,
  decided timestamptz
);
create index policy_proposal_open on policy_proposal (proposed desc) where state = 'open';
`;

/** The epoch that decided, and each question with the conditions that held, e.g. `read ImagingStudy own registered`. */
const REPLAY = `
alter table audit_event add column policy_epoch integer, add column decided_on text[];
`;
