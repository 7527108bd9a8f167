import type { Report } from './report.js';

/**
 * Of each model version at each hospital, by the month in which its jobs ended. Agreement: the latest word of a physician on each report, against the model's.
 * Drift: how the scores lie, against the reference month, which is the first one in which at least `$4` persons were scored by that version there;
 * the population stability index goes over the deciles of that month, each count half a result larger so that none is empty, and needs 30 scores
 * in both months (below 0.1 is steady, above 0.25 has shifted). Rows of fewer than `$4` persons are counted in the last row and not shown;
 * linked Patients are one person.
 */
const statement = `
with result as (
  select s.custodian_id, s.model, s.model_version, s.outcome, s.positive, s.score, s.superseded_by,
    to_char(s.ended at time zone $3::interval, 'YYYY-MM') as month, s.ended >= $1::timestamptz as is_asked,
    coalesce(x.cluster_id, f.patient_id, s.focus_id) as person, extract(epoch from s.ended - s.requested) as seconds,
    v.decision, v.positive as said, v.findings_removed, v.findings_added, v.findings_changed
  from scoring_result s
  left join resource f on f.type = s.focus_type and f.id = s.focus_id
  left join cross_reference x on x.patient_id = f.patient_id
  left join lateral (
    select w.* from scoring_review w where w.report_id = s.report_id order by w.report_version desc limit 1
  ) v on true
  where s.ended < $2::timestamptz
), scored_month as (
  select custodian_id, model, model_version, month, count(score) as scores, count(distinct person) as persons
  from result where outcome = 'scored' group by 1, 2, 3, 4
), reference as (
  select distinct on (custodian_id, model, model_version) custodian_id, model, model_version, month, scores
  from scored_month where persons >= $4::int order by custodian_id, model, model_version, month
), decile as (
  select r.custodian_id, r.model, r.model_version, f.month as reference, f.scores, percentile_cont(0.5) within group (order by r.score) as median,
    percentile_cont(array[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]::float8[]) within group (order by r.score) as edges
  from result r join reference f using (custodian_id, model, model_version, month)
  where r.score is not null group by 1, 2, 3, 4, 5
), binned as (
  select r.custodian_id, r.model, r.model_version, r.month, width_bucket(r.score, d.edges) as bin, count(*) as n
  from result r join decile d using (custodian_id, model, model_version)
  where r.score is not null group by 1, 2, 3, 4, 5
), share as (
  select m.custodian_id, m.model, m.model_version, m.month,
    (coalesce(current.n, 0) + 0.5) / (m.scores + 5.0) as p, (coalesce(earlier.n, 0) + 0.5) / (d.scores + 5.0) as q
  from scored_month m join decile d using (custodian_id, model, model_version) cross join generate_series(0, 9) as b (bin)
  left join binned current on (current.custodian_id, current.model, current.model_version, current.month, current.bin) = (m.custodian_id, m.model, m.model_version, m.month, b.bin)
  left join binned earlier on (earlier.custodian_id, earlier.model, earlier.model_version, earlier.month, earlier.bin) = (m.custodian_id, m.model, m.model_version, d.reference, b.bin)
  where m.scores >= 30 and d.scores >= 30
), stability as (
  select custodian_id, model, model_version, month, sum((p - q) * ln(p / q)) as psi from share group by 1, 2, 3, 4
), grouped as (
  select custodian_id, model, model_version, month, count(*)::int as jobs, count(distinct person) >= $4::int as shown,
    (count(*) filter (where outcome = 'scored'))::int as scored,
    (count(*) filter (where decision = 'accept'))::int as accepted,
    (count(*) filter (where decision = 'correct'))::int as corrected,
    (count(*) filter (where decision = 'reject'))::int as rejected,
    (count(*) filter (where outcome = 'scored' and decision is null and superseded_by is null))::int as unreviewed,
    (count(*) filter (where outcome = 'scored' and decision is null and superseded_by is not null))::int as superseded,
    (count(*) filter (where positive and decision is not null))::int as positive_reviewed,
    (count(*) filter (where positive and decision <> 'reject' and said))::int as positive_confirmed,
    (count(*) filter (where not positive and decision is not null))::int as negative_reviewed,
    (count(*) filter (where not positive and decision <> 'reject' and not said))::int as negative_confirmed,
    coalesce(sum(findings_removed), 0)::int as findings_removed, coalesce(sum(findings_added), 0)::int as findings_added,
    coalesce(sum(findings_changed), 0)::int as findings_changed,
    (count(*) filter (where positive))::int as positives, avg(score) as mean_score, percentile_cont(0.5) within group (order by score) as median_score,
    (count(*) filter (where outcome = 'not-applicable'))::int as not_applicable,
    (count(*) filter (where outcome = 'failed'))::int as failed,
    percentile_cont(0.5) within group (order by seconds) filter (where outcome = 'scored') as median_seconds
  from result where is_asked group by 1, 2, 3, 4
)
select g.model, g.model_version, g.custodian_id as organization, o.name, g.month, g.jobs, g.scored, g.accepted, g.corrected, g.rejected, g.unreviewed, g.superseded,
  round(g.positive_confirmed::numeric / nullif(g.positive_reviewed, 0), 3)::float8 as positive_agreement,
  round(g.negative_confirmed::numeric / nullif(g.negative_reviewed, 0), 3)::float8 as negative_agreement,
  g.findings_removed, g.findings_added, g.findings_changed,
  round(g.positives::numeric / nullif(g.scored, 0), 3)::float8 as positive_share,
  round(g.mean_score::numeric, 3)::float8 as mean_score, round(g.median_score::numeric, 3)::float8 as median_score,
  round((g.median_score - d.median)::numeric, 3)::float8 as median_change, round(s.psi::numeric, 3)::float8 as stability_index, d.reference,
  g.not_applicable, round(g.failed::numeric / g.jobs, 3)::float8 as failure_share, round(g.median_seconds::numeric, 1)::float8 as median_seconds,
  0 as suppressed
from grouped g
left join organization o on o.id = g.custodian_id
left join decile d using (custodian_id, model, model_version)
left join stability s using (custodian_id, model, model_version, month)
where g.shown
union all
select null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
  coalesce(sum(jobs), 0)::int from grouped where not shown
order by 1, 2, 3, 5`;

const count = (name: string, zh: string, en: string) => ({ name, title: { zh, en }, type: 'integer' as const });
const figure = (name: string, zh: string, en: string) => ({ name, title: { zh, en }, type: 'decimal' as const });
const word = (name: string, zh: string, en: string) => ({ name, title: { zh, en }, type: 'text' as const });

export const modelPerformance: Report = {
  name: 'model-performance',
  title: { zh: '人工智能模型表现', en: 'Performance of models' },
  description: {
    zh: '按模型、版本、医院和月份统计医师复核结果（采纳、更正、否定、未复核）与评分漂移；人数过少的组合不显示，只在最后一行计数。',
    en: 'Agreement with physicians and drift of the scores by model, version, hospital and month. Groups of too few persons are not shown; the last row counts their jobs.',
  },
  columns: [
    word('model', '模型', 'Model'),
    word('model_version', '版本', 'Version'),
    word('organization', '机构代码', 'Organization'),
    word('name', '机构名称', 'Name'),
    word('month', '月份', 'Month'),
    count('jobs', '任务数', 'Jobs'),
    count('scored', '已评估', 'Scored'),
    count('accepted', '采纳', 'Accepted'),
    count('corrected', '更正', 'Corrected'),
    count('rejected', '否定', 'Rejected'),
    count('unreviewed', '未复核', 'Unreviewed'),
    count('superseded', '未复核即被取代', 'Superseded unreviewed'),
    figure('positive_agreement', '阳性一致率', 'Agreement on positives'),
    figure('negative_agreement', '阴性一致率', 'Agreement on negatives'),
    count('findings_removed', '删除的发现', 'Findings removed'),
    count('findings_added', '补充的发现', 'Findings added'),
    count('findings_changed', '修改的发现', 'Findings changed'),
    figure('positive_share', '阳性比例', 'Share positive'),
    figure('mean_score', '平均分', 'Mean score'),
    figure('median_score', '中位分', 'Median score'),
    figure('median_change', '中位分变化', 'Change of the median'),
    figure('stability_index', '群体稳定性指数', 'Population stability index'),
    word('reference', '参照月份', 'Reference month'),
    count('not_applicable', '不适用', 'Not applicable'),
    figure('failure_share', '失败比例', 'Share failed'),
    figure('median_seconds', '中位用时（秒）', 'Median seconds to the result'),
    count('suppressed', '未显示的任务数', 'Jobs not shown'),
  ],
  statement,
  groupsPersons: true,
};
