import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A record that is about others has at least their sensitivity labels, whoever sets them and when: reports and observations those of their studies, what a score
 * is told in those of all that it was made from (`label_source`). The database sees to it, so that no way of changing a label has to think of it.
 */
export class LabelsTakenOver1763856045000 implements MigrationInterface {
  name = 'LabelsTakenOver1763856045000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('Scores would no longer be as restricted as what they were made from: restore a backup instead.');
  }
}

/** Scores of laboratory values: the report, its observations and its Provenance have the labels of the laboratory's report and of its results. */
export const SCORES_UNTIL_NOW = `
insert into label_source
with score as (
  select report_id, provenance_id, substr(focus, 18) as focus_id from score_record where starts_with(focus, 'DiagnosticReport/')
), version as (
  select type, id, refers from resource where type = 'DiagnosticReport'
  union all select type, id, refers from resource_history where type = 'DiagnosticReport'
), observation as (
  select distinct v.id as report_id, substr(t, 13) as id from version v, unnest(v.refers) t where starts_with(t, 'Observation/')
), source as (
  select report_id, 'DiagnosticReport' as of_type, focus_id as of_id from score
  union select s.report_id, 'Observation', o.id from score s join observation o on o.report_id = s.focus_id
), told as (
  select report_id, 'DiagnosticReport' as type, report_id as id from score
  union select report_id, 'Provenance', provenance_id from score
  union select s.report_id, 'Observation', o.id from score s join observation o on o.report_id = s.report_id
)
select t.type, t.id, s.of_type, s.of_id from told t join source s using (report_id) on conflict do nothing`;

const UP = [
  // the record (type, id) takes over the labels of (of_type, of_id)
  `create table label_source (
    type text not null,
    id text not null,
    of_type text not null,
    of_id text not null,
    primary key (type, id, of_type, of_id)
  )`,
  'create index label_source_of on label_source (of_type, of_id)',
  `create function taken_over_labels(record resource) returns text[] language sql stable as $$
    select array(
      select coalesce(own.label ->> 'system', '') || '|' || coalesce(own.label ->> 'code', '')
      from json_array_elements(coalesce(record.meta -> 'security', '[]'::json)) as own (label)
      union
      select unnest(s.labels) from unnest(record.refers) t join resource s on s.type = 'ImagingStudy' and s.id = substr(t, 14)
      where starts_with(t, 'ImagingStudy/') and record.type in ('DiagnosticReport', 'Observation')
      union
      select unnest(s.labels) from label_source l join resource s on s.type = l.of_type and s.id = l.of_id
      where l.type = record.type and l.id = record.id
    )
  $$`,
  `create function pass_labels_on() returns trigger language plpgsql as $$
  begin
    if new.type = 'ImagingStudy' then
      update resource d set labels = taken_over_labels(d)
      where d.type in ('DiagnosticReport', 'Observation') and d.patient_id = new.patient_id and ('ImagingStudy/' || new.id) = any(d.refers);
    end if;
    update resource d set labels = taken_over_labels(d) from label_source l
    where l.of_type = new.type and l.of_id = new.id and d.type = l.type and d.id = l.id;
    return null;
  end
  $$`,
  `create trigger pass_labels_on after update on resource for each row when (old.labels is distinct from new.labels) execute function pass_labels_on()`,
  SCORES_UNTIL_NOW,
  `update resource d set labels = taken_over_labels(d) where exists (select from label_source l where l.type = d.type and l.id = d.id)`,
];
