import type { Report } from './report.js';

/** Break-glass sessions and oversight cases in the month of their opening, as they stand now. */
const statement = `
select x.kind, x.organization_id as organization, o.name, x.reason, to_char(x.opened_at at time zone $3::interval, 'YYYY-MM') as month,
  count(*)::int as opened, count(x.confirmed_at)::int as confirmed,
  count(*) filter (where x.finding = 'justified')::int as justified, count(*) filter (where x.finding = 'not-justified')::int as not_justified,
  count(*) filter (where x.finding is null and x.review_due > now())::int as owed,
  count(*) filter (where x.finding is null and x.review_due <= now())::int as overdue
from exceptional_access x left join organization o on o.id = x.organization_id
where x.opened_at >= $1::timestamptz and x.opened_at < $2::timestamptz
group by 1, 2, 3, 4, 5
order by 1, 2, 5, 4`;

export const exceptionalAccess: Report = {
  name: 'exceptional-access',
  title: { zh: '紧急访问与监管个案', en: 'Break-glass and oversight cases' },
  description: {
    zh: '按机构、事由和月份统计紧急访问（打破玻璃）和监管个案的数量及审查结果。',
    en: 'Break-glass sessions and oversight cases by organization, reason and month, with what their reviews found.',
  },
  columns: [
    { name: 'kind', title: { zh: '类别', en: 'Kind' }, type: 'text' },
    { name: 'organization', title: { zh: '机构代码', en: 'Organization' }, type: 'text' },
    { name: 'name', title: { zh: '机构名称', en: 'Name' }, type: 'text' },
    { name: 'reason', title: { zh: '事由', en: 'Reason' }, type: 'text' },
    { name: 'month', title: { zh: '月份', en: 'Month' }, type: 'text' },
    { name: 'opened', title: { zh: '开启', en: 'Opened' }, type: 'integer' },
    { name: 'confirmed', title: { zh: '已确认', en: 'Confirmed' }, type: 'integer' },
    { name: 'justified', title: { zh: '认定合理', en: 'Justified' }, type: 'integer' },
    { name: 'not_justified', title: { zh: '认定不合理', en: 'Not justified' }, type: 'integer' },
    { name: 'owed', title: { zh: '待审查', en: 'Review owed' }, type: 'integer' },
    { name: 'overdue', title: { zh: '审查逾期', en: 'Review overdue' }, type: 'integer' },
  ],
  statement,
};
