import type { Report } from './report.js';

/**
 * A study, series or instance counts in the month in which its first instance was indexed, so that months add up. A study with several modalities
 * counts under each of them. A hospital in two consortia counts under both, so the two groupings are never added together. What one agent
 * retrieves of a study on one day counts once, however many requests it took.
 */
const statement = `
with instance as (
  select i.custodian_id, s.modality, i.first_seen as at,
    row_number() over (partition by i.custodian_id, i.series_instance_uid order by i.first_seen, i.sop_instance_uid) = 1 as opens_series,
    row_number() over (partition by i.custodian_id, i.study_instance_uid, s.modality order by i.first_seen, i.sop_instance_uid) = 1 as opens_study
  from imaging_instance i
  left join imaging_series s using (custodian_id, study_instance_uid, series_instance_uid)
), retrieval as (
  select a.custodian_id, a.organization_id, m.modality, min(a.recorded) as at
  from audit_event a
  cross join lateral unnest(a.entity) as e (reference)
  left join resource r on r.type = 'ImagingStudy' and r.id = substring(e.reference from '^ImagingStudy/(.+)$')
  left join lateral unnest(r.modality) as m (modality) on true
  where a.subtype = 'retrieve' and a.outcome = 0 and a.recorded >= $1::timestamptz and a.recorded < $2::timestamptz
    and e.reference like 'ImagingStudy/%' and a.organization_id <> a.custodian_id and a.organization_id <> '' and a.custodian_id <> ''
  group by a.custodian_id, a.organization_id, a.agent, e.reference, m.modality, (a.recorded at time zone $3::interval)::date
), event as (
  select custodian_id as organization_id, modality, at, opens_study::int as studies, opens_series::int as series, 1 as instances, 0 as given, 0 as received
  from instance where at >= $1::timestamptz and at < $2::timestamptz
  union all select custodian_id, modality, at, 0, 0, 0, 1, 0 from retrieval
  union all select organization_id, modality, at, 0, 0, 0, 0, 1 from retrieval
), grouped as (
  select 'hospital' as "by", event.organization_id as id, event.* from event
  union all
  select 'consortium', m.consortium_id, event.* from event
  join consortium_member m on m.organization_id = event.organization_id and m.valid_from <= event.at and event.at < m.valid_until
)
select g."by", g.id as organization, o.name, g.modality, to_char(g.at at time zone $3::interval, 'YYYY-MM') as month,
  sum(g.studies)::int as studies, sum(g.series)::int as series, sum(g.instances)::int as instances, sum(g.given)::int as given, sum(g.received)::int as received
from grouped g left join organization o on o.id = g.id
group by 1, 2, 3, 4, 5
order by 1 desc, 2, 5, 4`;

export const exchangeVolume: Report = {
  name: 'exchange-volume',
  title: { zh: '影像交换量', en: 'Exchange volume' },
  description: {
    zh: '按医院（及按联合体）、检查类型和月份统计：已索引的检查、序列、图像数，以及被其他医院调阅和从其他医院调阅的检查数。',
    en: 'By hospital (and by consortium), modality and month: studies, series and instances indexed, studies retrieved by other hospitals and from other hospitals.',
  },
  columns: [
    { name: 'by', title: { zh: '统计口径', en: 'Grouped by' }, type: 'text' },
    { name: 'organization', title: { zh: '机构代码', en: 'Organization' }, type: 'text' },
    { name: 'name', title: { zh: '机构名称', en: 'Name' }, type: 'text' },
    { name: 'modality', title: { zh: '检查类型', en: 'Modality' }, type: 'text' },
    { name: 'month', title: { zh: '月份', en: 'Month' }, type: 'text' },
    { name: 'studies', title: { zh: '检查数', en: 'Studies' }, type: 'integer' },
    { name: 'series', title: { zh: '序列数', en: 'Series' }, type: 'integer' },
    { name: 'instances', title: { zh: '图像数', en: 'Instances' }, type: 'integer' },
    { name: 'given', title: { zh: '被他院调阅', en: 'Retrieved by others' }, type: 'integer' },
    { name: 'received', title: { zh: '调阅他院', en: 'Retrieved from others' }, type: 'integer' },
  ],
  statement,
};
