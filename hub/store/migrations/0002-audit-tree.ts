import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The tree over the audit: leaves, inner nodes, signed heads, and how far it reaches. */
export class AuditTree1763856002000 implements MigrationInterface {
  name = 'AuditTree1763856002000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(WRITER);
    await runner.query(TREE);
    await runner.query(SEAL);
  }

  async down(): Promise<void> {
    throw new Error('The tree over the audit is not taken back: restore a backup instead.');
  }
}

/**
 * Each row keeps the id of the transaction that wrote it, so that rows of transactions that commit late are found without looking at all.
 * The rows that there are keep null and are not rewritten. A block range index costs a writer next to nothing.
 */
const WRITER = `
alter table audit_event add column xact bigint;
alter table audit_event alter column xact set default pg_current_xact_id()::text::bigint;
create index audit_event_by_xact on audit_event using brin (xact) with (autosummarize = on);
`;

/** Inner nodes are kept where a tile of 256 ends: level n holds the subtrees of 256^n leaves. */
const TREE = `
create table audit_leaf (
  index bigint primary key,
  recorded timestamptz not null,
  event_id bigint not null,
  hash bytea not null check (length(hash) = 32),
  unique (recorded, event_id)
);
create table audit_node (
  level smallint not null check (level > 0),
  index bigint not null,
  hash bytea not null check (length(hash) = 32),
  primary key (level, index)
);
create table audit_head (
  tree_size bigint primary key,
  root bytea not null check (length(root) = 32),
  signed timestamptz not null,
  kid text not null,
  jws text not null
);
create table audit_key (
  kid text primary key,
  jwk jsonb not null,
  first_used timestamptz not null default now()
);
create table audit_archive (
  month text primary key,
  first_leaf bigint not null,
  end_leaf bigint not null,
  jws text not null
);

create function audit_tree_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name;
end $$;
do $$
declare name text;
begin
  foreach name in array array['audit_leaf', 'audit_node', 'audit_head', 'audit_key', 'audit_archive'] loop
    execute format('create trigger %1$s_append_only before update or delete on %1$s for each row execute function audit_tree_is_append_only()', name);
    execute format('create trigger %1$s_no_truncate before truncate on %1$s for each statement execute function audit_tree_is_append_only()', name);
  end loop;
end $$;
`;

/**
 * How far the tree reaches. Rows with xact <= base (or none) are older than the tree or than this cluster: they are swept once, by their
 * place. Of the others, all below the watermark are in the tree.
 */
const SEAL = `
create table audit_seal (
  only_one boolean primary key default true check (only_one),
  cluster text not null,
  base bigint not null default 0,
  watermark bigint not null default 0,
  sweeping boolean not null default true,
  swept_recorded timestamptz not null default '-infinity',
  swept_id bigint not null default 0
);
insert into audit_seal (cluster) select system_identifier::text from pg_control_system();
`;
