import type { Report } from './report.js';

/**
 * One row a study, of values that at least `$4` persons of the same month share (k-anonymity; linked Patients are one person). What is rarer, and what
 * is labelled restricted or as sensitive, is counted in the last row and not shown. The day, the hospital and every identifier stay out; ages are the difference
 * of years in bands of ten. Groups are of one month, so another period shows the same rows.
 */
const statement = `
with study as (
  select to_char(r.date_from at time zone $3::interval, 'YYYY-MM') as month,
    (select string_agg(m, '+' order by m) from unnest(r.modality) as m) as modality,
    (select string_agg(b, '+' order by b) from unnest(r.body_site) as b) as body_site,
    coalesce(p.content->>'gender', 'unknown') as sex,
    extract(year from r.date_from at time zone $3::interval)::int - substring(p.content->>'birthDate' from '^[0-9]{4}')::int as years,
    coalesce(x.cluster_id, r.patient_id) as person,
    exists (
      select from unnest(r.labels) as l
      where starts_with(l, 'http://terminology.hl7.org/CodeSystem/v3-ActCode|')
        or starts_with(l, 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality|') and right(l, 2) not in ('|U', '|L', '|M', '|N')
    ) as restricted
  from resource r
  left join resource p on p.type = 'Patient' and p.patient_id = r.patient_id and p.id = r.patient_id and not p.deleted
  left join cross_reference x on x.patient_id = r.patient_id
  where r.type = 'ImagingStudy' and not r.deleted and r.date_from >= $1::timestamptz and r.date_from < $2::timestamptz
), alike as (
  select month, modality, body_site, sex,
    case when years >= 90 then '90+' when years >= 0 then (years / 10) * 10 || '-' || (years / 10) * 10 + 9 else 'unknown' end as age,
    count(*)::int as studies, count(distinct person) >= $4::int and not restricted as shown
  from study group by 1, 2, 3, 4, 5, restricted
)
select month, modality, body_site, sex, age, 0 as suppressed
from alike cross join lateral generate_series(1, alike.studies) where shown
union all
select null, null, null, null, null, coalesce(sum(studies), 0)::int from alike where not shown
order by 1, 2, 3, 4, 5`;

export const deidentifiedStudies: Report = {
  name: 'deidentified-studies',
  title: { zh: '去标识化检查明细', en: 'De-identified studies' },
  description: {
    zh: '每项检查一行：月份、检查类型、部位、性别和年龄段，不含任何标识；人数过少的组合和受限检查不显示，只在最后一行计数。',
    en: 'One row a study: month, modality, body site, sex and age band, no identifier. Combinations of too few persons, and restricted studies, are not shown; the last row counts them.',
  },
  columns: [
    { name: 'month', title: { zh: '月份', en: 'Month' }, type: 'text' },
    { name: 'modality', title: { zh: '检查类型', en: 'Modality' }, type: 'text' },
    { name: 'body_site', title: { zh: '部位', en: 'Body site' }, type: 'text' },
    { name: 'sex', title: { zh: '性别', en: 'Sex' }, type: 'text' },
    { name: 'age', title: { zh: '年龄段', en: 'Age' }, type: 'text' },
    { name: 'suppressed', title: { zh: '未显示的检查数', en: 'Studies not shown' }, type: 'integer' },
  ],
  statement,
  groupsPersons: true,
};
