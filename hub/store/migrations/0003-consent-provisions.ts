import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Consents with nested provisions and every criterion of IHE PCF; what records refer to and who wrote them, so that a criterion about data can be decided. */
export class ConsentProvisions1763856003000 implements MigrationInterface {
  name = 'ConsentProvisions1763856003000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RULES);
    await runner.query(RECORDS);
  }

  async down(): Promise<void> {
    throw new Error('Consents would be read more widely than they were meant: restore a backup instead.');
  }
}

/**
 * `place` and `last` are the interval of a provision in its Consent: those nested in it have their place inside. Rules from before keep
 * 0 and 0, so none lifts another, and they count for break-glass: they stay as closed as they were until their Consent is written again.
 */
const RULES = `
alter table consent_rule
  add column place integer not null default 0,
  add column last integer not null default 0,
  add column btg boolean not null default true,
  add column policy text[] not null default '{}',
  add column holder text[],
  add column class text[],
  add column level smallint,
  add column sensitivity text[],
  add column data text[],
  add column data_refers text[],
  add column data_referred text[],
  add column author text[],
  add column data_from timestamptz,
  add column data_until timestamptz;
`;

/** Only records that refer to something beside patients, organizations and endpoints are rewritten: few studies, most reports. */
const RECORDS = `
alter table resource add column refers text[] not null default '{}', add column authors text[] not null default '{}';
alter table resource_history
  add column refers text[] not null default '{}', add column authors text[] not null default '{}', add column date_until timestamptz;
create temporary table found_references on commit drop as
  select type, id, version, array_agg(distinct target) as targets
  from (
    select type, id, version, regexp_replace((regexp_matches(content::text, '"reference":"([^"#][^"]*)"', 'g'))[1], '/_history/.*$', '') as target from resource
    union all
    select type, id, version, regexp_replace((regexp_matches(content::text, '"reference":"([^"#][^"]*)"', 'g'))[1], '/_history/.*$', '') from resource_history
  ) r
  where target !~ '(^|/)(Patient|Organization|Endpoint)/[^/]+$'
  group by type, id, version;
update resource r set refers = f.targets from found_references f where f.type = r.type and f.id = r.id and f.version = r.version;
update resource_history r set refers = f.targets from found_references f where f.type = r.type and f.id = r.id and f.version = r.version;
`;
